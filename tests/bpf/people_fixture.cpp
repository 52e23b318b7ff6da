#include "tests/bpf/people_fixture.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

namespace cordon::test {
namespace {

std::filesystem::path cgroup2_root() {
  std::ifstream mounts("/proc/mounts");
  std::string device, path, type, rest;
  while (mounts >> device >> path >> type && std::getline(mounts, rest))
    if (type == "cgroup2") return path;
  return {};
}

int result_of(int result) {
  return result >= 0 || errno == EINPROGRESS ? 0 : errno;
}

void name_source(msghdr& message, cmsghdr* control, const Address& from) {
  if (from.is_v4()) {
    control->cmsg_level = IPPROTO_IP, control->cmsg_type = IP_PKTINFO;
    control->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
    in_pktinfo info{};
    std::memcpy(&info.ipi_spec_dst, from.raw().data(), 4);
    std::memcpy(CMSG_DATA(control), &info, sizeof info);
  } else {
    control->cmsg_level = IPPROTO_IPV6, control->cmsg_type = IPV6_PKTINFO;
    control->cmsg_len = CMSG_LEN(sizeof(in6_pktinfo));
    in6_pktinfo info{};
    std::memcpy(&info.ipi6_addr, from.raw().data(), 16);
    std::memcpy(CMSG_DATA(control), &info, sizeof info);
  }
  message.msg_control = control;
  message.msg_controllen = CMSG_SPACE(from.is_v4() ? sizeof(in_pktinfo) : sizeof(in6_pktinfo));
}

}  // namespace

SocketAddress::SocketAddress(std::string_view text, std::uint16_t port, bool mapped) {
  const Address from = address(text);
  if (from.is_v4() && !mapped) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    std::memcpy(&in.sin_addr, from.raw().data(), 4);
    std::memcpy(&storage, &in, size = sizeof in);
  } else {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(port);
    std::copy(from.bytes.begin(), from.bytes.end(), in.sin6_addr.s6_addr);
    std::memcpy(&storage, &in, size = sizeof in);
  }
}

int bind_to(const SocketAddress& to, int type) {
  const node::Descriptor socket(::socket(to.family(), type, 0));
  return result_of(::bind(socket.get(), to.get(), to.size));
}

int connect_to(const SocketAddress& to, int type, const SocketAddress* from) {
  const node::Descriptor socket(::socket(to.family(), type | SOCK_NONBLOCK, 0));
  if (from != nullptr && ::bind(socket.get(), from->get(), from->size) != 0) return 1000 + errno;
  return result_of(::connect(socket.get(), to.get(), to.size));
}

int send_to(const SocketAddress& to, std::string_view from, bool connected) {
  const node::Descriptor socket(::socket(to.family(), SOCK_DGRAM, 0));
  if (connected && ::connect(socket.get(), to.get(), to.size) != 0) return 1000 + errno;
  char text[] = "x";
  iovec part{.iov_base = text, .iov_len = 1};
  alignas(cmsghdr) std::array<char, 128> control{};
  msghdr message{};
  if (!connected) {
    message.msg_name = const_cast<sockaddr*>(to.get());
    message.msg_namelen = to.size;
  }
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!from.empty()) name_source(message, reinterpret_cast<cmsghdr*>(control.data()), address(from));
  return result_of(static_cast<int>(::sendmsg(socket.get(), &message, 0)));
}

void PeopleTest::SetUp() {
  if (cgroup2_root().empty()) GTEST_SKIP() << "no cgroup2 is mounted";
  // Without ARP the first packet leaves at once, to whom it may concern; without a link-local address the
  // kernel solicits no routers, which would be counted.
  shell(
      "ip link add ov0 arp off type veth peer name ov1 && ip link set ov0 addrgenmode none && "
      "ip link set ov1 addrgenmode none && ip link set ov1 up && ip link set ov0 up");
  overlay_ = ::if_nametoindex("ov0");
  for (const char* own : {kV4.client, kAnnV4, kBenV4})
    shell("ip addr add " + std::string(own) + "/32 dev ov0");
  for (const char* own : {kV6.client, kAnnV6, kBenV6})
    shell("ip -6 addr add " + std::string(own) + "/128 dev ov0 nodad");
  shell("ip route add 100.64.0.0/10 dev ov0 src " + std::string(kV4.client));
  shell("ip -6 route add fd00:c0de::/48 dev ov0 src " + std::string(kV6.client));
  for (const Hosts& hosts : {kV4, kV6}) {
    add_principal(hosts.client, 1);
    add_target(hosts.server, 1);
  }
  settings().v4 = address(kV4.client);
  settings().v6 = address(kV6.client);
  for (const std::uint64_t class_id : {1, 2, 3})
    for (const std::uint8_t protocol : {policy::kTcp, policy::kUdp})
      add_grant({.class_id = class_id,
                 .protocol = protocol,
                 .port = 7,
                 .direction = policy::Direction::egress,
                 .rule = static_cast<std::uint32_t>(class_id)});
  add_grant({.class_id = 2, .port = 8, .direction = policy::Direction::egress, .rule = 2});
  log_in("s-ann", kAnn, kAnnV4, kAnnV6, 2);
  log_in("s-ben", kBen, kBenV4, kBenV6, 3);
}

void PeopleTest::open(bool hooks) {
  node::FilterConfig config = config_at(pins_);
  config.people = {{.first = 3000, .last = 3999}};
  if (hooks) {
    cgroup_ = cgroup2_root() / ("cordon-people-" + std::to_string(::getpid()));
    std::filesystem::create_directory(cgroup_);
    config.cgroup = cgroup_;
  }
  ASSERT_TRUE(filter_->remove_all());
  filter_.reset();
  auto filter = node::KernelFilter::open(config);
  ASSERT_TRUE(filter) << filter.error().message();
  filter_ = std::move(*filter);
  ASSERT_TRUE(filter_->attach_overlay(overlay_));
  write();
}

void PeopleTest::TearDown() {
  if (cgroup_.empty()) return;
  EXPECT_TRUE(filter_->remove_all());
  filter_.reset();
  ::rmdir(cgroup_.c_str());
}

void PeopleTest::log_in(const char* session, std::uint32_t uid, const char* v4, const char* v6,
                        std::uint64_t class_id) {
  state_.entries[policy::LocalSessionKey{SessionId(session)}] =
      policy::LocalSessionValue{.user = session, .uid = uid, .v4 = address(v4), .v6 = address(v6)};
  for (const char* own : {v4, v6}) {
    add_principal(own, class_id);
    principal(own).uid = uid;
    principal(own).check_owner = true;
  }
}

void PeopleTest::log_out(const char* session, const char* v4, const char* v6) {
  state_.entries.erase(policy::LocalSessionKey{SessionId(session)});
  for (const char* own : {v4, v6}) state_.entries.erase(policy::PrincipalKey{address(own)});
}

int PeopleTest::as(std::uint32_t uid, const std::function<int()>& act) const {
  const pid_t child = ::fork();
  if (child == 0) {
    if (!cgroup_.empty()) std::ofstream(cgroup_ / "cgroup.procs") << ::getpid() << std::flush;
    if (uid != 0 && (::setresgid(uid, uid, uid) != 0 || ::setresuid(uid, uid, uid) != 0)) ::_exit(250);
    ::_exit(act());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::uint64_t PeopleTest::counted(const std::string& reason) const {
  return filter_->drop_counters().value().at(reason).packets;
}

}  // namespace cordon::test
