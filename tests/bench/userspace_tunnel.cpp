#include "tests/bench/userspace_tunnel.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "tests/bench/namespaces.h"
#include "tests/bench/world.h"

namespace cordon::bench {
namespace {

constexpr int kPort = 51820;

std::string interface_name(int pair, bool receiving) {
  return fmt::format("cbwg{}{}", pair, receiving ? 'r' : 's');
}

struct TunnelEnd {
  std::string ns, interface, address_outside;
  std::vector<Address> inside;
};

TunnelEnd end_of(int pair, bool receiving) {
  TunnelEnd end;
  end.ns = receiving ? receiver(pair) : sender(pair);
  end.interface = interface_name(pair, receiving);
  end.address_outside = receiving ? "192.0.2.2" : "192.0.2.1";
  for (const Ends& ends : {ends_v4(), ends_v6()}) end.inside.push_back(receiving ? ends.server : ends.client);
  return end;
}

/// `key` and `peer`: files with the private keys of the two ends.
Result<> configure(const TunnelEnd& here, const TunnelEnd& there, const std::string& key,
                   const std::string& peer) {
  std::string allowed;
  for (const Address& address : there.inside) allowed += (allowed.empty() ? "" : ",") + address.to_string();
  CORDON_TRY(
      shell(fmt::format("wg set {} private-key {} listen-port {} peer \"$(wg pubkey < {})\" "
                        "endpoint {}:{} allowed-ips {}",
                        here.interface, key, kPort, peer, there.address_outside, kPort, allowed)));
  for (const Address& address : here.inside)
    CORDON_TRY(shell(fmt::format("ip -n {} addr add {}/{} dev {} {}", here.ns, address.to_string(),
                                 address.is_v4() ? 24 : 64, here.interface, address.is_v4() ? "" : "nodad")));
  return shell(fmt::format("ip -n {} link set {} mtu 1420 up", here.ns, here.interface));
}

}  // namespace

Result<UserspaceTunnel> UserspaceTunnel::make(int pair) {
  UserspaceTunnel tunnel(pair);
  const TunnelEnd ends[] = {end_of(pair, false), end_of(pair, true)};
  const std::string keys[] = {fmt::format("/run/c-bench-{}s.key", ::getpid()),
                              fmt::format("/run/c-bench-{}r.key", ::getpid())};
  Result<> made;
  for (int i = 0; i < 2 && made; ++i) {
    made = tunnel.start(ends[i].ns, ends[i].interface);
    if (made) made = shell(fmt::format("umask 077 && wg genkey > {}", keys[i]));
  }
  for (int i = 0; i < 2 && made; ++i) made = configure(ends[i], ends[1 - i], keys[i], keys[1 - i]);
  for (const std::string& key : keys) ::unlink(key.c_str());
  CORDON_TRY(made);
  return tunnel;
}

Result<> UserspaceTunnel::start(const std::string& ns, const std::string& interface) {
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("can't start wireguard-go", errno);
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // nothing of it outlives a benchmark that is killed
    const int nothing = ::open("/dev/null", O_RDWR);
    for (const int fd : {0, 1, 2}) ::dup2(nothing, fd);
    const std::string net = "--net=/run/netns/" + ns;
    ::execlp("nsenter", "nsenter", net.c_str(), "wireguard-go", "-f", interface.c_str(), nullptr);
    ::_exit(127);
  }
  processes_.push_back(child);
  const std::string socket = fmt::format("/var/run/wireguard/{}.sock", interface);
  for (int tries = 0; tries < 250 && ::access(socket.c_str(), F_OK) != 0; ++tries)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  return ::access(socket.c_str(), F_OK) == 0 ? Result<>{} : fail(ErrorCode::io, "wireguard-go doesn't start");
}

std::string UserspaceTunnel::receiver_interface() const {
  return interface_name(pair_, true);
}

UserspaceTunnel::~UserspaceTunnel() {
  for (const pid_t process : processes_) {
    ::kill(process, SIGTERM);
    ::waitpid(process, nullptr, 0);
  }
}

}  // namespace cordon::bench
