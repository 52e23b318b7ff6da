// A gateway's own kernel forwards between a client in the overlay and a printer behind it, the filter at the
// overlay's interface and the underlay guard at the other:
//
//     client ══ ov1 ─ ov0  gateway (this thread's namespace)  lan0 ─ eth0  printer
//
// ov0 and ov1 are a veth pair in the tunnel's place.

#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/bpf/people_fixture.h"
#include "tests/support/network_namespace.h"

namespace cordon::test {
namespace gateway_forward_test {

using node::Descriptor;
constexpr int kInTimeMs = 10'000, kInVainMs = 250;
constexpr std::uint16_t kSsh = 22, kSnmp = 161;

struct Places {
  const char *client, *printer, *inside, *subnet, *ip;
};
constexpr Places kPlaces[] = {
    {kV4.client, "10.1.2.3", "10.1.2.1", "10.1.2.0/24", "ip"},
    {kV6.client, "2001:db8:1::3", "2001:db8:1::1", "2001:db8:1::/64", "ip -6"},
};

class GatewayForwardTest : public FilterTest {
 protected:
  GatewayForwardTest() : FilterTest({"sweep"}) {}  // opened anew, whole, once the wires are there
  void SetUp() override {
    wire();
    ASSERT_TRUE(filter_->remove_all());
    filter_.reset();
    auto filter = node::KernelFilter::open(config_at(pins_));
    ASSERT_TRUE(filter) << filter.error().message();
    filter_ = std::move(*filter);
    node::Subnets subnets;
    settings().underlay = policy::Underlay::closed;
    settings().v4 = address(kV4.server);
    settings().v6 = address(kV6.server);
    for (const Places& at : kPlaces) {
      const Prefix subnet = Prefix::parse(at.subnet).value();
      subnets.behind.push_back(subnet);
      subnets.own.push_back(Prefix::host(address(at.inside)));
      state_.entries[policy::TargetKey{subnet}] = policy::TargetValue{.id = TargetId(5)};
      add_principal(at.client, 1);
    }
    add_grant({.target = 5, .port = kSsh, .rule = 5});
    add_grant({.target = 5, .protocol = policy::kUdp, .port = kSnmp, .rule = 6});
    ASSERT_TRUE(filter_->set_subnets(subnets));
    ASSERT_TRUE(filter_->attach_overlay(::if_nametoindex("ov0")));
    ASSERT_TRUE(filter_->attach_underlay({::if_nametoindex("lan0")}));
    write();
  }

  void wire() {
    const auto name = [](const node::TestNamespace& space) {
      return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(space.fd());
    };
    const std::string mac0 = "02:00:00:00:00:10", mac1 = "02:00:00:00:00:11";
    shell(
        "sysctl -qw net.ipv6.conf.default.addr_gen_mode=1 net.ipv4.ip_forward=1 "
        "net.ipv6.conf.all.forwarding=1");
    shell("ip link add ov0 address " + mac0 + " type veth peer name ov1 address " + mac1 + " netns " +
          name(client_));
    shell("ip link add lan0 type veth peer name eth0 netns " + name(lan_));
    // Without a link-local address no neighbour is asked for on behalf of others.
    shell("ip link set ov0 up && ip link set lan0 up && ip addr add fe80::1/64 dev lan0 nodad");
    for (const node::TestNamespace* space : {&client_, &lan_})
      space->in([&] { shell("ip link set lo up; ip link set ov1 up 2>/dev/null || ip link set eth0 up"); });
    for (const Places& at : kPlaces) {
      const std::string ip = std::string(at.ip) + " ", nodad = ip == "ip " ? "" : " nodad";
      const std::string length = ip == "ip " ? "/32" : "/128", wide = ip == "ip " ? "/24" : "/64";
      const std::string client = at.client, printer = at.printer, inside = at.inside;
      const std::string own = ip == "ip " ? kV4.server : kV6.server;
      // The tunnel asks nobody for a link address.
      shell(ip + "addr add " + own + length + " dev ov0" + nodad + " && " + ip + "neigh add " + client +
            " lladdr " + mac1 + " dev ov0 nud permanent && " + ip + "route add " + client + length +
            " dev ov0 src " + own + " && " + ip + "addr add " + inside + wide + " dev lan0" + nodad);
      client_.in([&] {
        shell(ip + "addr add " + client + length + " dev ov1" + nodad + " && " + ip + "route add " +
              at.subnet + " dev ov1 src " + client);
        for (const std::string& there : {printer, inside})
          shell(ip + "neigh add " + there + " lladdr " + mac0 + " dev ov1 nud permanent");
      });
      lan_.in([&] {
        shell(ip + "addr add " + printer + wide + " dev eth0" + nodad + " && " + ip +
              "route add default via " + inside);
      });
    }
  }

  static Descriptor listener(const node::TestNamespace& space, const char* at, std::uint16_t port, int type) {
    return space.in([&] {
      const SocketAddress to(at, port);
      Descriptor socket(::socket(to.family(), type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      EXPECT_EQ(::bind(socket.get(), to.get(), to.size), 0) << at;
      if (type == SOCK_STREAM) {
        EXPECT_EQ(::listen(socket.get(), 4), 0);
      }
      return socket;
    });
  }
  static Descriptor connecting(const node::TestNamespace& space, const char* to, std::uint16_t port,
                               int type = SOCK_STREAM) {
    return space.in([&] {
      const SocketAddress there(to, port);
      Descriptor socket(::socket(there.family(), type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      (void)::connect(socket.get(), there.get(), there.size);
      return socket;
    });
  }
  static bool ready(const Descriptor& socket, short events, int within_ms) {
    pollfd waiting{.fd = socket.get(), .events = events, .revents = 0};
    return ::poll(&waiting, 1, within_ms) == 1 && (waiting.revents & events) != 0;
  }
  static bool connected(const Descriptor& socket, int within_ms) {
    int error = 0;
    socklen_t size = sizeof error;
    return ready(socket, POLLOUT, within_ms) &&
           ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
  }
  static bool carries(const Descriptor& from, const Descriptor& to, int within_ms) {
    char byte = 'x';
    (void)::send(from.get(), &byte, 1, MSG_NOSIGNAL);
    return ready(to, POLLIN, within_ms) && ::recv(to.get(), &byte, 1, 0) == 1;
  }
  std::uint64_t counted(const char* reason) const {
    return filter_->drop_counters().value().at(reason).packets;
  }

  NetSandbox sandbox_;
  node::TestNamespace client_, lan_;
};

TEST_F(GatewayForwardTest, WhatIsGrantedIsForwardedAndAnswered) {
  for (const Places& at : kPlaces) {
    const Descriptor ssh = listener(lan_, at.printer, kSsh, SOCK_STREAM),
                     other = listener(lan_, at.printer, 23, SOCK_STREAM);
    const Descriptor client = connecting(client_, at.printer, kSsh);
    ASSERT_TRUE(connected(client, kInTimeMs)) << at.printer;
    const Descriptor server(::accept4(ssh.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    EXPECT_TRUE(carries(client, server, kInTimeMs));
    EXPECT_TRUE(carries(server, client, kInTimeMs)) << "through the guard, which is closed";
    EXPECT_FALSE(connected(connecting(client_, at.printer, 23), kInVainMs));
    // The gateway's own place in that network has a service of the same port.
    const Descriptor own = listener(client_, at.client, 24, SOCK_STREAM);
    const SocketAddress inside(at.inside, kSsh);
    const Descriptor gateways(::socket(inside.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::bind(gateways.get(), inside.get(), inside.size), 0);
    ASSERT_EQ(::listen(gateways.get(), 4), 0);
    EXPECT_FALSE(connected(connecting(client_, at.inside, kSsh), kInVainMs)) << "granted to nobody";
    // What the gateway does itself there is its own business; what is behind begins nothing.
    const Descriptor by_gateway(::socket(inside.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    const SocketAddress printer(at.printer, 23);
    EXPECT_EQ(::connect(by_gateway.get(), printer.get(), printer.size), 0);
    const auto before = counted("unknown principal") + counted("underlay");
    EXPECT_FALSE(connected(connecting(lan_, at.client, 24), kInVainMs));
    EXPECT_GT(counted("unknown principal") + counted("underlay"), before);
  }
}

TEST_F(GatewayForwardTest, WhatIsUnderWayIsCutWithTheGateway) {
  struct Stream {
    Descriptor client, server;
  };
  std::vector<Stream> streams;
  for (const Places& at : kPlaces) {
    const Descriptor ssh = listener(lan_, at.printer, kSsh, SOCK_STREAM);
    Stream stream{.client = connecting(client_, at.printer, kSsh), .server = {}};
    ASSERT_TRUE(connected(stream.client, kInTimeMs)) << at.printer;
    stream.server = Descriptor(::accept4(ssh.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    ASSERT_TRUE(carries(stream.client, stream.server, kInTimeMs));
    streams.push_back(std::move(stream));
  }
  settings().isolated = true;
  update();
  for (const auto& [client, server] : streams) {
    EXPECT_FALSE(carries(client, server, kInVainMs));
    EXPECT_FALSE(carries(server, client, kInVainMs));
  }
  settings().isolated = false;
  update();
  for (const auto& [client, server] : streams) {
    EXPECT_TRUE(ready(server, POLLIN, kInTimeMs)) << "sent again";
    EXPECT_TRUE(ready(client, POLLIN, kInTimeMs));
  }
}

TEST_F(GatewayForwardTest, ASmallerPathBehindItIsToldToTheClient) {
  for (const Places& at : kPlaces) {
    shell("ip link set lan0 mtu 1300");
    const bool v4 = address(at.printer).is_v4();
    const Descriptor printer = listener(lan_, at.printer, kSnmp, SOCK_DGRAM);
    const Descriptor client = connecting(client_, at.printer, kSnmp, SOCK_DGRAM);
    const int discover = v4 ? IP_PMTUDISC_DO : IPV6_PMTUDISC_DO;
    ASSERT_EQ(::setsockopt(client.get(), v4 ? IPPROTO_IP : IPPROTO_IPV6,
                           v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, &discover, sizeof discover),
              0);
    const Packet large(1400);
    EXPECT_EQ(::send(client.get(), large.data(), large.size(), 0), static_cast<ssize_t>(large.size()));
    const auto path = [&] {
      int mtu = 0;
      socklen_t size = sizeof mtu;
      (void)::getsockopt(client.get(), v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU : IPV6_MTU, &mtu, &size);
      return mtu;
    };
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kInTimeMs);
    while (path() != 1300 && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_EQ(path(), 1300) << at.printer;
    EXPECT_FALSE(ready(printer, POLLIN, 0));
  }
}

// INSTALL.md's lines: what is behind needs no way back.
TEST_F(GatewayForwardTest, AMasqueradedClientIsAnsweredAndAMasqueradedPrinterIsNobody) {
  if (std::system("nft --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "nft is not installed";
  shell(
      "nft 'add table inet cordon_gateway; add chain inet cordon_gateway out { type nat hook postrouting "
      "priority "
      "srcnat; }; add rule inet cordon_gateway out oifname lan0 ip saddr 100.64.0.0/10 masquerade; "
      "add rule inet cordon_gateway out oifname lan0 ip6 saddr fd00:c0de::/48 masquerade'");
  for (const Places& at : kPlaces) {
    lan_.in([&] { shell(std::string(at.ip) + " route del default"); });
    const Descriptor ssh = listener(lan_, at.printer, kSsh, SOCK_STREAM);
    const Descriptor client = connecting(client_, at.printer, kSsh);
    ASSERT_TRUE(connected(client, kInTimeMs)) << at.printer;
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    const Descriptor server(::accept4(ssh.get(), reinterpret_cast<sockaddr*>(&from), &size, SOCK_NONBLOCK));
    const SocketAddress inside(at.inside, 0);
    const std::size_t address_at =
        address(at.inside).is_v4() ? offsetof(sockaddr_in, sin_addr) : offsetof(sockaddr_in6, sin6_addr);
    EXPECT_EQ(std::memcmp(reinterpret_cast<const char*>(&from) + address_at,
                          reinterpret_cast<const char*>(&inside.storage) + address_at,
                          address(at.inside).raw().size()),
              0)
        << "it is the gateway that the printer sees";
    EXPECT_TRUE(carries(client, server, kInTimeMs));
    EXPECT_TRUE(carries(server, client, kInTimeMs));
    lan_.in([&] { shell(std::string(at.ip) + " route add default via " + at.inside); });
  }
  // The other way: in the gateway's name, as a container would be. The guard would stop it first.
  settings().underlay = policy::Underlay::open;
  add_principal(kV4.server, 3);
  add_target(kV4.client, 7);
  add_grant({.class_id = 3, .target = 7, .port = 24, .direction = policy::Direction::egress, .rule = 9});
  update();
  shell("nft add rule inet cordon_gateway out oifname ov0 masquerade");
  const Descriptor there = listener(client_, kV4.client, 24, SOCK_STREAM);
  const auto before = counted("forwarded");
  EXPECT_FALSE(connected(connecting(lan_, kV4.client, 24), kInVainMs));
  EXPECT_GT(counted("forwarded"), before);
}

}  // namespace gateway_forward_test
}  // namespace cordon::test
