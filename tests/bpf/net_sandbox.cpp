#include "tests/bpf/net_sandbox.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>
#include <stdexcept>

namespace cordon::test {

void shell(const std::string& command) {
  if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
}

NetSandbox::NetSandbox() : before_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
  if (!before_ || ::unshare(CLONE_NEWNET) != 0) throw std::runtime_error("no network namespace");
  shell("ip link set lo up");
}

NetSandbox::~NetSandbox() {
  (void)::setns(before_.get(), CLONE_NEWNET);
}

unsigned NetSandbox::make_veth(const std::string& name, const std::string& peer) {
  shell("ip link add " + name + " type veth peer name " + peer);
  for (const std::string& end : {name, peer}) {
    shell("sysctl -qw net.ipv6.conf." + end + ".disable_ipv6=1");
    shell("ip link set " + end + " up");
  }
  return ::if_nametoindex(name.c_str());
}

void NetSandbox::remove(const std::string& name) {
  shell("ip link del " + name);
}

void NetSandbox::send(const std::string& name, const Packet& frame) {
  const node::Descriptor socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(::if_nametoindex(name.c_str()));
  const auto sent =
      ::sendto(socket.get(), frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to);
  if (sent < 0 && errno == ENOBUFS) return;  // what tc says when it drops at egress
  if (sent != static_cast<ssize_t>(frame.size())) throw std::runtime_error("can't send on " + name);
}

}  // namespace cordon::test
