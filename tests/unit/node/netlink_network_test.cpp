// The real kernel, in network namespaces of the test's own.

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/files.h"
#include "node/netlink/close_timeout.h"
#include "node/netlink/network.h"
#include "node/netlink/route_messages.h"
#include "node/netlink/socket.h"
#include "tests/support/network_namespace.h"

namespace cordon::node {
namespace netlink_network_test {

Prefix prefix(std::string_view text) {
  return *Prefix::parse(text);
}
Address address(std::string_view text) {
  return *Address::parse(text);
}

class NetworkTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!is_root()) GTEST_SKIP() << "network namespaces need root";
    space_ = std::make_unique<TestNamespace>();
    space_->in([&] {
      auto route = netlink::Socket::open(NETLINK_ROUTE);
      ASSERT_TRUE(route && route->query(netlink::link_create("d-net", "veth")));
      auto network = open_network();
      ASSERT_TRUE(network) << network.error().message();
      network_ = *std::move(network);
      index_ = if_nametoindex("d-net");
      for (const char* name : {"lo", "veth0"}) ASSERT_TRUE(network_->set_up(if_nametoindex(name), 0));
    });
  }

  Link link() {
    const auto links = network_->links();
    for (const Link& l : *links) {
      if (l.index == index_) return l;
    }
    return {};
  }

  /// A write shows as a change every time; what the kernel does by itself (carrier) doesn't.
  template <class Call>
  bool writes_nothing(Call call) {
    for (int attempt = 0; attempt < 5; ++attempt) {
      wait_until_quiet(*network_);
      if (!call()) return false;
      if (!network_->drain()) return true;
    }
    return false;
  }

  /// The source that the kernel chooses towards `to`.
  Address chosen(std::string_view to) {
    return space_->in([&]() -> Address {
      const Address destination = address(to);
      const int fd = socket(destination.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
      sockaddr_storage storage{};
      socklen_t size = sizeof storage;
      const ByteView raw = destination.raw();
      if (destination.is_v4()) {
        sockaddr_in in{};
        in.sin_family = AF_INET;
        in.sin_port = htons(9);
        std::memcpy(&in.sin_addr, raw.data(), raw.size());
        std::memcpy(&storage, &in, sizeof in);
      } else {
        sockaddr_in6 in{};
        in.sin6_family = AF_INET6;
        in.sin6_port = htons(9);
        std::memcpy(&in.sin6_addr, raw.data(), raw.size());
        std::memcpy(&storage, &in, sizeof in);
      }
      EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&storage), sizeof storage), 0)
          << std::strerror(errno);
      getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size);
      close(fd);
      if (storage.ss_family == AF_INET) {
        const auto* in = reinterpret_cast<const sockaddr_in*>(&storage);
        return *Address::from_bytes({reinterpret_cast<const std::uint8_t*>(&in->sin_addr), 4});
      }
      const auto* in = reinterpret_cast<const sockaddr_in6*>(&storage);
      return *Address::from_bytes({reinterpret_cast<const std::uint8_t*>(&in->sin6_addr), 16});
    });
  }

  /// The sockets that are connected to this.
  std::vector<HostSocket> connected_to(std::uint8_t protocol, std::string_view remote, std::uint16_t port,
                                       const std::vector<Prefix>& within = {}) {
    std::vector<HostSocket> out;
    const auto all = network_->connected_sockets(within).value();
    for (const HostSocket& socket : all)
      if (socket.protocol == protocol && socket.remote == Endpoint{address(remote), port})
        out.push_back(socket);
    return out;
  }

  std::unique_ptr<TestNamespace> space_;
  std::unique_ptr<Network> network_;
  unsigned index_ = 0;
};

TEST_F(NetworkTest, UpWithMtuOnceOnly) {
  EXPECT_FALSE(link().up);
  ASSERT_TRUE(network_->set_up(index_, 1340));
  EXPECT_TRUE(link().up);
  EXPECT_EQ(link().mtu_bytes, 1340u);
  EXPECT_TRUE(writes_nothing([&] { return network_->set_up(index_, 1340); }));
}

TEST_F(NetworkTest, ExactAddressesOnceOnly) {
  ASSERT_TRUE(network_->set_up(index_, 0));
  const std::vector<OwnAddress> first{{prefix("100.64.0.1"), false}, {prefix("fd12::1"), false}};
  const std::vector<OwnAddress> second{{prefix("100.64.0.1"), false},
                                       {prefix("fd12::1"), true},
                                       {prefix("fd12::2"), true},
                                       {prefix("100.64.0.9"), true}};
  for (const auto& wanted : {first, second, first}) {
    auto set = network_->set_addresses(index_, wanted);
    ASSERT_TRUE(set) << set.error().message();
    EXPECT_TRUE(writes_nothing([&] { return network_->set_addresses(index_, wanted); }));
  }
}

TEST_F(NetworkTest, OwnNetworksAreWhereOtherInterfacesAre) {
  ASSERT_TRUE(network_->set_up(index_, 0));
  ASSERT_TRUE(network_->set_addresses(index_, {{prefix("100.64.0.1"), false}, {prefix("fd12::1"), false}}));
  const unsigned veth = space_->in([] { return if_nametoindex("veth0"); });
  ASSERT_TRUE(network_->set_addresses(
      veth, {{{address("192.0.2.1"), 120}, false}, {{address("2001:db8:1::1"), 64}, false}}));
  const auto own = network_->own_networks(index_);
  ASSERT_TRUE(own) << own.error().message();
  EXPECT_EQ(*own, (std::vector<Prefix>{{address("192.0.2.1"), 120}, {address("2001:db8:1::1"), 64}}))
      << "neither loopback's, nor link-local ones, nor the overlay's";
}

// A load balancer's address on lo, an address of the link alone: the kernel takes packets for both.
TEST_F(NetworkTest, OwnNetworksAreOfEveryScope) {
  space_->in([&] {
    ASSERT_EQ(std::system("ip addr add 192.0.2.9/32 dev lo scope host && "
                          "ip addr add 198.51.100.3/24 dev veth0 scope link && "
                          "ip addr add 169.254.7.7/16 dev veth0 && ip addr add fe80::7/64 dev veth0"),
              0);
  });
  const auto own = network_->own_networks(index_);
  ASSERT_TRUE(own) << own.error().message();
  EXPECT_EQ(*own, (std::vector<Prefix>{prefix("192.0.2.9"), {address("198.51.100.3"), 120}}));
}

TEST_F(NetworkTest, ExactRoutesWithTheirSourceOnceOnly) {
  ASSERT_TRUE(network_->set_up(index_, 0));
  ASSERT_TRUE(network_->set_addresses(index_, {{prefix("100.64.0.1"), false},
                                               {prefix("100.64.0.2"), false},
                                               {prefix("fd12::1"), false},
                                               {prefix("fd12::2"), true}}));
  const std::vector<Route> first{{prefix("100.64.0.0/10"), address("100.64.0.1")},
                                 {prefix("fd12::/48"), address("fd12::1")}};
  const std::vector<Route> second{{prefix("100.64.0.0/10"), address("100.64.0.2")},
                                  {prefix("fd12::/48"), address("fd12::2")},
                                  {prefix("198.51.100.0/24"), address("100.64.0.2")}};
  for (const auto& wanted : {first, second, first}) {
    auto set = network_->set_routes(index_, wanted);
    ASSERT_TRUE(set) << set.error().message();
    for (const Route& route : wanted) {
      const bool v4 = route.destination.address.is_v4();
      if (v4 && route.destination != prefix("100.64.0.0/10")) continue;
      EXPECT_EQ(chosen(v4 ? "100.64.7.7" : "fd12::77"), route.source);
    }
    EXPECT_TRUE(writes_nothing([&] { return network_->set_routes(index_, wanted); }));
  }
}

// CVE-like: with the interface goes its route, and what is for the overlay would leave by the default route.
TEST_F(NetworkTest, WithoutTheInterfaceNothingGoesElsewhere) {
  ASSERT_TRUE(network_->set_up(index_, 0));
  ASSERT_TRUE(network_->set_addresses(index_, {{prefix("100.64.0.1"), false}, {prefix("fd12::1"), false}}));
  const std::vector<Route> wanted{{prefix("100.64.0.0/10"), address("100.64.0.1")},
                                  {prefix("fd12::/48"), address("fd12::1")}};
  for (const char* command :
       {"ip link add d-out type veth peer name d-away", "ip link set d-out up", "ip link set d-away up",
        "ip addr add 198.51.100.1/24 dev d-out", "ip addr add 2001:db8::1/64 dev d-out nodad",
        "ip route add default via 198.51.100.9", "ip -6 route add default via 2001:db8::9"})
    ASSERT_EQ(space_->in([&] { return std::system(command); }), 0) << command;
  const auto reaches = [&](std::string_view to) { return network_->route_mtu(address(to)).has_value(); };
  ASSERT_TRUE(network_->set_routes(index_, wanted));
  ASSERT_TRUE(network_->set_last_routes("d-other", {prefix("100.64.0.0/10")}));
  EXPECT_EQ(chosen("100.64.7.7"), address("100.64.0.1"));
  EXPECT_EQ(chosen("fd12::77"), address("fd12::1"));
  EXPECT_TRUE(writes_nothing([&] { return network_->set_routes(index_, wanted); }));
  ASSERT_EQ(space_->in([] { return std::system("ip link del d-net"); }), 0);
  for (const char* to : {"100.64.7.7", "fd12::77"}) {
    const auto way = network_->route_mtu(address(to));
    ASSERT_FALSE(way) << to;
    EXPECT_NE(way.error().message().find("No route to host"), std::string::npos) << way.error().message();
  }
  EXPECT_TRUE(reaches("192.0.2.1") && reaches("2001:db8:9::1"));
  ASSERT_TRUE(network_->remove_routing("d-net"));
  EXPECT_TRUE(reaches("fd12::77"));
  EXPECT_FALSE(reaches("100.64.7.7")) << "another instance's stays";
  ASSERT_TRUE(network_->remove_routing("d-other"));
  EXPECT_TRUE(reaches("100.64.7.7"));
}

TEST_F(NetworkTest, LastRoutesNeedNoInterfaceAndAreExact) {
  const std::vector<Prefix> first{prefix("100.64.0.0/10"), prefix("fd12::/48")}, second{prefix("fd13::/48")};
  for (const auto& wanted : {first, second, first}) {
    const auto set = network_->set_last_routes("d-none", wanted);
    ASSERT_TRUE(set) << set.error().message();
    EXPECT_TRUE(writes_nothing([&] { return network_->set_last_routes("d-none", wanted); }));
    for (const std::string_view to : {"100.64.0.0/10", "fd12::/48", "fd13::/48"}) {
      const bool is_wanted = std::ranges::find(wanted, prefix(to)) != wanted.end();
      const std::string look = fmt::format("ip {} route show type unreachable proto 0xcd | grep -q '{}'",
                                           to.find(':') == to.npos ? "" : "-6", to);
      EXPECT_EQ(space_->in([&] { return std::system(look.c_str()); }) == 0, is_wanted) << to;
    }
  }
}

TEST_F(NetworkTest, DeprecatedAddressIsNotChosenByItself) {
  ASSERT_TRUE(network_->set_up(index_, 0));
  ASSERT_TRUE(network_->set_addresses(index_, {{prefix("fd12::77"), true}, {prefix("fd12::1"), false}}));
  ASSERT_TRUE(network_->set_routes(index_, {{prefix("fd12::/48"), Address{}}}));
  // fd12::77 shares more bits with the destination and would win if it weren't deprecated.
  EXPECT_EQ(chosen("fd12::76"), address("fd12::1"));
}

TEST_F(NetworkTest, ErrorsSayWhatWasAsked) {
  const auto missing = network_->set_up(4711, 1340);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_NE(missing.error().message().find("interface 4711"), std::string::npos);

  ASSERT_TRUE(network_->set_up(index_, 0));
  const auto refused = network_->set_routes(index_, {{prefix("100.64.0.0/10"), address("100.64.0.55")}});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("100.64.0.0/10 with source 100.64.0.55 into interface 'd-net'"),
            std::string::npos);
  EXPECT_NE(refused.error().message().find("kernel: "), std::string::npos) << refused.error().message();
}

TEST_F(NetworkTest, RouteMtuIsTheLinksOrTheRoutesOwn) {
  ASSERT_TRUE(network_->set_up(index_, 1400));
  ASSERT_TRUE(
      network_->set_addresses(index_, {{prefix("198.51.100.1"), false}, {prefix("2001:db8::1"), false}}));
  ASSERT_TRUE(network_->set_routes(index_, {{prefix("198.51.100.0/24"), address("198.51.100.1")},
                                            {prefix("2001:db8::/64"), address("2001:db8::1")}}));
  EXPECT_EQ(network_->route_mtu(address("198.51.100.2")), 1400u);
  EXPECT_EQ(network_->route_mtu(address("2001:db8::2")), 1400u);
  const auto none = network_->route_mtu(address("203.0.113.1"));
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message().find("203.0.113.1"), std::string::npos);
}

TEST_F(NetworkTest, ARouteThatSomebodyPutInPlaceOfOursIsReplaced) {
  ASSERT_TRUE(network_->set_up(index_, 0));
  ASSERT_TRUE(network_->set_addresses(index_, {{prefix("100.64.0.1"), false}, {prefix("fd12::1"), false}}));
  const std::vector<Route> wanted{{prefix("100.64.0.0/10"), address("100.64.0.1")},
                                  {prefix("fd12::/48"), address("fd12::1")}};
  ASSERT_TRUE(network_->set_routes(index_, wanted));
  for (const char* command : {"ip route replace 100.64.0.0/10 dev d-net proto static",
                              "ip -6 route replace fd12::/48 dev d-net proto static metric 1024"})
    ASSERT_EQ(space_->in([&] { return std::system(command); }), 0) << command;
  const std::uint64_t before = network_->written();
  const auto set = network_->set_routes(index_, wanted);
  ASSERT_TRUE(set) << set.error().message();
  EXPECT_EQ(network_->written() - before, 2u);
  EXPECT_TRUE(writes_nothing([&] { return network_->set_routes(index_, wanted); }));
  EXPECT_EQ(chosen("100.64.7.7"), address("100.64.0.1"));
}

TEST_F(NetworkTest, MonitorTellsChanges) {
  ASSERT_TRUE(network_->set_up(index_, 0));
  wait_until_quiet(*network_);
  ASSERT_TRUE(network_->set_addresses(index_, {{prefix("100.64.0.1"), false}}));
  EXPECT_TRUE(network_->drain());
  EXPECT_TRUE(writes_nothing([]() -> Result<> { return {}; }));
}

TEST_F(NetworkTest, MonitorTellsWhichLinksCame) {
  ASSERT_TRUE(network_->set_up(index_, 0));
  wait_until_quiet(*network_);
  ASSERT_EQ(space_->in([] { return std::system("ip route add 203.0.113.0/24 dev d-net"); }), 0);
  const NetworkChanges route = network_->drain();
  EXPECT_TRUE(route.any);
  EXPECT_FALSE(route.links);
  EXPECT_TRUE(route.links_here.empty());
  ASSERT_EQ(space_->in([] { return std::system("ip link add d-new type veth peer name d-peer"); }), 0);
  const NetworkChanges link = network_->drain();
  const unsigned fresh = space_->in([] { return if_nametoindex("d-new"); });
  EXPECT_TRUE(link.links);
  EXPECT_NE(std::ranges::find(link.links_here, fresh), link.links_here.end());
}

TEST_F(NetworkTest, DestroysConnectedSocketsAndNoListener) {
  space_->in([&] {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    ASSERT_EQ(listen(listener, 4), 0);
    socklen_t size = sizeof at;
    getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size);
    const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(connect(client, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    const int server = accept(listener, nullptr, nullptr);

    const auto sockets = connected_to(IPPROTO_TCP, "127.0.0.1", ntohs(at.sin_port));
    ASSERT_EQ(sockets.size(), 1u) << "the client, and no listener";
    const auto gone = network_->destroy(sockets);
    ASSERT_TRUE(gone) << gone.error().message();
    EXPECT_EQ(*gone, 1u);
    char byte;
    EXPECT_EQ(recv(client, &byte, 1, 0), -1);
    EXPECT_EQ(errno, ECONNABORTED);

    const int again = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(connect(again, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    for (const int fd : {listener, client, server, again}) close(fd);
  });
}

TEST_F(NetworkTest, TheKernelListsWhatHasAnEndInThePrefixes) {
  space_->in([&] {
    std::vector<int> fds;
    const auto connect_to = [&](const char* to, std::uint16_t port) {
      sockaddr_in6 at{};
      at.sin6_family = AF_INET6;
      at.sin6_port = htons(port);
      inet_pton(AF_INET6, to, &at.sin6_addr);
      fds.push_back(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      ASSERT_EQ(connect(fds.back(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0) << std::strerror(errno);
    };
    connect_to("::ffff:127.1.2.3", 1001);  // of a v4-mapped socket
    connect_to("::ffff:127.2.2.3", 1002);
    connect_to("::1", 1003);
    const auto listed = [&](const std::vector<Prefix>& within) {
      std::set<std::uint16_t> ports;
      const auto all = network_->connected_sockets(within).value();
      for (const HostSocket& each : all) ports.insert(each.remote.port);
      return ports;
    };
    using Ports = std::set<std::uint16_t>;
    EXPECT_EQ(listed({}), (Ports{1001, 1002, 1003}));
    EXPECT_EQ(listed({prefix("127.1.0.0/16")}), Ports{1001}) << "where it goes to";
    EXPECT_EQ(listed({prefix("127.1.0.0/16"), prefix("::1")}), (Ports{1001, 1003}));
    EXPECT_EQ(listed({prefix("127.0.0.1")}), (Ports{1001, 1002})) << "where it comes from";
    EXPECT_EQ(listed({prefix("100.64.0.0/10"), prefix("fd00::/8")}), Ports{});
    for (const int fd : fds) close(fd);
  });
}

TEST_F(NetworkTest, DestroysConnectedUdpAndMappedSockets) {
  space_->in([&] {
    sockaddr_in6 at{};
    at.sin6_family = AF_INET6;
    at.sin6_port = htons(9999);
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &at.sin6_addr);
    const int client = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const int open_to_all = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_in any{};
    any.sin_family = AF_INET;
    ASSERT_EQ(bind(open_to_all, reinterpret_cast<sockaddr*>(&any), sizeof any), 0);
    ASSERT_EQ(connect(client, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    EXPECT_EQ(network_->destroy(connected_to(IPPROTO_UDP, "127.0.0.1", 9999)), 1u);
    EXPECT_TRUE(connected_to(IPPROTO_UDP, "127.0.0.1", 9999).empty());
    close(client);
    close(open_to_all);
  });
}

TEST_F(NetworkTest, WhoReadsFromAnMptcpSocketIsToldOnceItsSubflowIsDestroyed) {
  if (::access(kMptcpCloseTimeout, F_OK) != 0) GTEST_SKIP() << "this kernel has no net.mptcp.close_timeout";
  space_->in([&] {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);
    ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    ASSERT_EQ(listen(listener, 4), 0);
    getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size);
    const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);
    ASSERT_EQ(connect(client, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    const int server = accept(listener, nullptr, nullptr);
    char byte = 'x';
    ASSERT_EQ(send(client, &byte, 1, 0), 1);
    ASSERT_EQ(recv(server, &byte, 1, 0), 1);

    const auto sockets = connected_to(IPPROTO_TCP, "127.0.0.1", ntohs(at.sin_port));
    ASSERT_EQ(sockets.size(), 1u);
    EXPECT_TRUE(sockets.front().multipath);
    const timeval most{.tv_sec = 20, .tv_usec = 0};
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    const auto memory = std::filesystem::temp_directory_path() / fmt::format("cordon-timeout-{}", getpid());
    const std::string found = read_file(kMptcpCloseTimeout).value();
    CloseTimeout timeout(kMptcpCloseTimeout, memory);
    timeout.lower();
    ASSERT_TRUE(network_->destroy(sockets));
    EXPECT_EQ(recv(client, &byte, 1, 0), -1);
    EXPECT_EQ(errno, ENOTCONN) << "not EAGAIN, after the 20 s";
    timeout.restore();
    EXPECT_EQ(read_file(kMptcpCloseTimeout), found);
    for (const int fd : {listener, client, server}) close(fd);
  });
}

}  // namespace netlink_network_test
}  // namespace cordon::node
