// Tags on the wire: what the kernel itself takes off a frame is no way around the guard (I13).

#include <arpa/inet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstdlib>
#include <functional>

#include "tests/bpf/fixture.h"
#include "tests/bpf/net_sandbox.h"

namespace cordon::test {
namespace tags_test {

constexpr std::uint16_t kGuardedPort = 4433, kOpenPort = 4434;

/// As a receiver wants it: a header with its checksum.
Packet with_checksum(Packet packet) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < 20; i += 2) sum += static_cast<std::uint32_t>(packet[i] << 8 | packet[i + 1]);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = ~(sum + (sum >> 16));
  packet[10] = static_cast<std::uint8_t>(sum >> 8), packet[11] = static_cast<std::uint8_t>(sum);
  return packet;
}

class TagsTest : public FilterTest {
 protected:
  TagsTest() : FilterTest({"guard_in", "guard_out", "guard_in_eth", "guard_out_eth"}) {
    ifindex_ = net_.make_veth("t-a", "t-b");
    shell("ip link set t-a address 02:02:02:02:02:02");  // as ethernet() addresses it
    shell("ip addr add 203.0.113.10/24 dev t-a");
    settings().underlay = policy::Underlay::guard;
    state_.entries[policy::GuardKey{.protocol = policy::kUdp, .ports = {kGuardedPort, kGuardedPort}}] =
        policy::GuardValue{};
    guarded_ = listen(kGuardedPort);
    open_ = listen(kOpenPort);
  }
  static node::Descriptor listen(std::uint16_t port) {
    node::Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_port = htons(port);
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&here), sizeof here), 0);
    return socket;
  }
  static Packet frame_to(std::uint16_t port) {
    return ethernet(with_checksum(udp({address("203.0.113.20"), address("203.0.113.10"), 40000, port}, 1)));
  }
  static bool came(const node::Descriptor& socket, int wait_ms) {
    pollfd wait{.fd = socket.get(), .events = POLLIN, .revents = 0};
    if (::poll(&wait, 1, wait_ms) != 1) return false;
    char byte;
    return ::recv(socket.get(), &byte, 1, 0) == 1;
  }
  /// Dressed as `dress` says, does a datagram to the guarded port come in? One to the other port that follows
  /// on the same wire tells when not to wait any more.
  template <class Dress>
  bool comes_in(Dress dress) {
    net_.send("t-b", dress(frame_to(kGuardedPort)));
    net_.send("t-b", frame_to(kOpenPort));
    EXPECT_TRUE(came(open_, 10'000));
    return came(guarded_, 0);
  }

  NetSandbox net_;
  unsigned ifindex_ = 0;
  node::Descriptor guarded_, open_;
};

const auto kBare = [](const Packet& f) { return f; };
const auto kOne = [](const Packet& f) { return tagged(f, 0); };
const auto kTwo = [](const Packet& f) { return tagged(tagged(f, 0), 0); };
const auto kThree = [](const Packet& f) { return tagged(tagged(tagged(f, 0), 0), 0); };
const auto kMixed = [](const Packet& f) { return tagged(tagged(f, 0), 0xe000, 0x88a8); };

TEST_F(TagsTest, PriorityTagsAreNoWayIn) {
  write();
  EXPECT_TRUE(comes_in(kBare));  // nothing is attached yet, and the kernel takes all of these
  EXPECT_TRUE(comes_in(kOne));
  EXPECT_TRUE(comes_in(kTwo));
  EXPECT_TRUE(comes_in(kThree));
  EXPECT_TRUE(comes_in(kMixed));
  ASSERT_TRUE(filter_->attach_underlay({ifindex_}));
  EXPECT_FALSE(comes_in(kBare));
  EXPECT_FALSE(comes_in(kOne));
  EXPECT_FALSE(comes_in(kTwo));
  EXPECT_FALSE(comes_in(kThree));
  EXPECT_FALSE(comes_in(kMixed));
  // To a port that isn't guarded a priority may say how urgent it is; two priorities say nothing.
  net_.send("t-b", kOne(frame_to(kOpenPort)));
  EXPECT_TRUE(came(open_, 10'000));
  settings().underlay = policy::Underlay::closed;
  update();
  for (const auto& dress : std::vector<std::function<Packet(const Packet&)>>{kOne, kTwo, kThree, kMixed})
    net_.send("t-b", dress(frame_to(kOpenPort)));
  const auto counters = filter_->drop_counters().value();
  EXPECT_EQ(counters.at("malformed packet").packets, 6u);
  EXPECT_EQ(counters.at("underlay").packets, 3u);
  EXPECT_FALSE(came(open_, 0));
}

TEST_F(TagsTest, AVlanIsJudgedAtItsOwnInterface) {
  if (std::system("ip link add link t-a name t-a.5 type vlan id 5 2>/dev/null") != 0)
    GTEST_SKIP() << "this kernel has no VLANs";
  shell("ip link set t-a.5 up");
  shell("ip addr add 198.51.100.10/24 dev t-a.5");
  const auto in_vlan = [](std::uint16_t port) {
    return tagged(
        ethernet(with_checksum(udp({address("198.51.100.20"), address("198.51.100.10"), 40000, port}, 1))),
        5);
  };
  write();
  ASSERT_TRUE(filter_->attach_underlay({ifindex_, ::if_nametoindex("t-a.5")}));
  for (const bool with_priority : {false, true}) {
    const auto dress = [&](const Packet& frame) { return with_priority ? tagged(frame, 0) : frame; };
    net_.send("t-b", dress(in_vlan(kGuardedPort)));
    net_.send("t-b", dress(in_vlan(kOpenPort)));
    EXPECT_TRUE(came(open_, 10'000));
    EXPECT_FALSE(came(guarded_, 0));
  }
}

}  // namespace tags_test
}  // namespace cordon::test
