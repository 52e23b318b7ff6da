// The guard at the sockets (ebpf/sockets.bpf.h): what stands on an interface that has no guard yet.

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <gmock/gmock.h>

#include <cerrno>
#include <fstream>

#include "tests/bpf/fixture.h"
#include "tests/bpf/net_sandbox.h"

namespace cordon::test {
namespace sockets_test {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr Hosts kUnderlay4{"v4", "203.0.113.20", "", "203.0.113.10", ""};
constexpr Hosts kUnderlay6{"v6", "2001:db8::20", "", "2001:db8::10", ""};

/// Runs the programs on single packets; BPF_PROG_TEST_RUN's own device is loopback, so another is named.
class SocketGuardTest : public FilterTest, public testing::WithParamInterface<Hosts> {
 protected:
  SocketGuardTest() { ifindex_ = net_.make_veth("c-a", "c-b"); }
  Address outside() const { return address(GetParam().client); }
  Address here() const { return address(GetParam().server); }
  Flow from_outside(std::uint16_t port, std::uint16_t from = 40000) const {
    return {outside(), here(), from, port};
  }
  bool passes(const char* program, const Packet& packet, unsigned ifindex) const {
    const Packet frame = ethernet(packet);
    __sk_buff context{};
    context.ifindex = ifindex;
    LIBBPF_OPTS(bpf_test_run_opts, options);
    options.data_in = frame.data();
    options.data_size_in = static_cast<__u32>(frame.size());
    options.ctx_in = &context;
    options.ctx_size_in = sizeof context;
    options.repeat = 1;
    EXPECT_EQ(bpf_prog_test_run_opts(filter_->objects().program(program), &options), 0) << program;
    return options.retval == 1;
  }
  bool arrives(const Packet& packet) const { return passes("socket_in", packet, ifindex_); }
  bool leaves(const Packet& packet) const { return passes("socket_out", packet, ifindex_); }

  NetSandbox net_;
  unsigned ifindex_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Families, SocketGuardTest, testing::Values(kUnderlay4, kUnderlay6),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(SocketGuardTest, ContainmentHoldsOnAnyInterface) {
  settings().isolated = true;
  write();
  EXPECT_FALSE(leaves(tcp(from_outside(443).reversed(), kSyn)));
  EXPECT_FALSE(leaves(udp(from_outside(40000, 53).reversed())));
  EXPECT_FALSE(leaves(echo_request(here(), outside(), 7)));
  EXPECT_FALSE(arrives(tcp(from_outside(22), kSyn)));
  EXPECT_FALSE(arrives(udp(from_outside(22))));
  EXPECT_EQ(filter_->drop_counters().value().at("host isolated").packets, 5u);
  const Packet cut = tcp(from_outside(22), kSyn);
  EXPECT_FALSE(arrives(Packet(cut.begin(), cut.end() - 8)));
  ASSERT_TRUE(filter_->set_peers({Endpoint{outside(), 51820}}));
  EXPECT_TRUE(leaves(udp(from_outside(51820, 51820).reversed())));
  EXPECT_TRUE(arrives(udp(from_outside(51820, 51820))));
  if (here().is_v4()) {
    const Flow link{here(), address("198.51.100.1"), 40000, 7443};
    EXPECT_TRUE(leaves(tcp(link, kSyn)));
    EXPECT_TRUE(arrives(tcp(link.reversed(), kSyn | kAck)));
    EXPECT_TRUE(leaves(udp({here(), outside(), 68, 67})));
  } else {
    EXPECT_TRUE(leaves(icmp(here(), outside(), 135, 0, 0)));
    EXPECT_TRUE(leaves(with_extension(icmp(here(), outside(), 143, 0, 0), 0)));
    EXPECT_FALSE(leaves(with_extension(udp(from_outside(443).reversed()), 60)));
  }
}

TEST_P(SocketGuardTest, LoopbackAndOverlayAreLeftAlone) {
  settings().isolated = true;
  write();
  const Packet packet = tcp(from_outside(443).reversed(), kSyn);
  EXPECT_TRUE(passes("socket_out", packet, 1));
  EXPECT_FALSE(passes("socket_out", packet, ifindex_));
  ASSERT_TRUE(filter_->attach_overlay(ifindex_));
  EXPECT_TRUE(passes("socket_out", packet, ifindex_));
  EXPECT_FALSE(passes("socket_out", packet, ::if_nametoindex("c-b")));
}

TEST_P(SocketGuardTest, TheGuardsModesHoldAsOnAnInterface) {
  settings().underlay = policy::Underlay::guard;
  state_.entries[policy::GuardKey{.protocol = policy::kTcp, .ports = {443, 443}}] = policy::GuardValue{};
  write();
  EXPECT_FALSE(arrives(tcp(from_outside(443), kSyn)));
  EXPECT_TRUE(arrives(tcp(from_outside(22), kSyn)));
  settings().underlay = policy::Underlay::closed;
  update();
  EXPECT_FALSE(arrives(tcp(from_outside(22), kSyn)));
  EXPECT_TRUE(leaves(udp(from_outside(5000, 53).reversed())));
  EXPECT_TRUE(arrives(udp(from_outside(5000, 53))));
}

std::filesystem::path cgroup2() {
  std::ifstream mounts("/proc/mounts");
  std::string device, path, type, rest;
  while (mounts >> device >> path >> type && std::getline(mounts, rest))
    if (type == "cgroup2") return path;
  return {};
}

/// With a cgroup of its own, whose sockets are real.
class SocketAttachTest : public FilterTest {
 protected:
  void SetUp() override {
    if (cgroup2().empty()) GTEST_SKIP() << "no cgroup2 is mounted";
    cgroup_ = cgroup2() / ("cordon-sockets-" + std::to_string(::getpid()));
    std::filesystem::create_directory(cgroup_);
    reopen();
  }
  void TearDown() override {
    if (cgroup_.empty()) return;
    EXPECT_TRUE(filter_->remove_all());
    filter_.reset();
    ::rmdir(cgroup_.c_str());
  }
  void reopen(bool at_boot = false) {
    node::FilterConfig config = config_at(pins_);
    config.cgroup = cgroup_;
    config.guard_sockets = at_boot;
    filter_.reset();
    auto filter = node::KernelFilter::open(config);
    ASSERT_TRUE(filter) << filter.error().message();
    filter_ = std::move(*filter);
  }
  bool pinned() const {
    return std::filesystem::exists(pins_ / "link-socket_in") &&
           std::filesystem::exists(pins_ / "link-socket_out");
  }
  /// Sends a datagram to the address from a process in the cgroup: errno, or 0. Then nothing hinders it
  /// there.
  int send_to(const char* text) const {
    const pid_t child = ::fork();
    if (child == 0) {
      const int procs = ::open((cgroup_ / "cgroup.procs").c_str(), O_WRONLY);
      if (::write(procs, "0", 1) != 1) ::_exit(254);
      const int socket = ::socket(AF_INET, SOCK_DGRAM, 0);
      sockaddr_in to{};
      to.sin_family = AF_INET;
      to.sin_port = htons(9);
      ::inet_pton(AF_INET, text, &to.sin_addr);
      const auto sent = ::sendto(socket, "x", 1, 0, reinterpret_cast<sockaddr*>(&to), sizeof to);
      ::_exit(sent == 1 ? 0 : errno);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  }
  void isolate(bool isolated) {
    settings().isolated = isolated;
    write();
  }

  NetSandbox net_;
  std::filesystem::path cgroup_;
};

TEST_F(SocketAttachTest, AnIsolatedHostsSocketsAreHeldOnAnInterfaceThatNobodyGuards) {
  isolate(false);
  EXPECT_FALSE(pinned());
  isolate(true);
  EXPECT_TRUE(pinned());
  net_.make_veth("c-new", "c-far");
  shell("ip addr add 203.0.113.10/24 dev c-new");
  EXPECT_EQ(send_to("203.0.113.20"), EPERM);
  EXPECT_EQ(send_to("127.0.0.1"), 0);
  isolate(false);
  EXPECT_FALSE(pinned());
  EXPECT_EQ(send_to("203.0.113.20"), 0);
}

TEST_F(SocketAttachTest, IsolationOutlivesTheDaemonAndItsPinsAreRestored) {
  isolate(true);
  net_.make_veth("c-new", "c-far");
  shell("ip addr add 203.0.113.10/24 dev c-new");
  filter_.reset();  // no daemon
  EXPECT_EQ(send_to("203.0.113.20"), EPERM);
  reopen();
  ASSERT_TRUE(filter_->attach_underlay({}));
  EXPECT_TRUE(pinned());
  EXPECT_THAT(filter_->check(), IsEmpty());
  std::filesystem::remove(pins_ / "link-socket_in");
  EXPECT_THAT(filter_->check(), testing::ElementsAre(HasSubstr("the sockets' guard's link is not pinned")));
  EXPECT_TRUE(pinned());
}

TEST_F(SocketAttachTest, AtBootTheGuardStandsUntilTheDaemonHasTheInterfaces) {
  settings().underlay = policy::Underlay::closed;
  reopen(true);
  write();
  EXPECT_TRUE(pinned());
  ASSERT_TRUE(filter_->attach_underlay({}));
  EXPECT_TRUE(pinned());
  reopen();  // the daemon
  EXPECT_TRUE(filter_->adopted());
  EXPECT_TRUE(pinned());
  ASSERT_TRUE(filter_->attach_underlay({}));
  EXPECT_FALSE(pinned());
}

}  // namespace sockets_test
}  // namespace cordon::test
