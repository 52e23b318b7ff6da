// Rules and tables of sessions: golden bytes as in netlink_messages_test.cpp, the plan against a plain model
// of the kernel, and the kernel itself.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <set>

#include "node/netlink/network.h"
#include "node/netlink/people_plan.h"
#include "node/netlink/route_messages.h"
#include "node/netlink/rule_messages.h"
#include "node/netlink/socket.h"
#include "tests/support/network_namespace.h"

namespace cordon::node::netlink {
namespace netlink_people_test {

Prefix prefix(std::string_view text) {
  return *Prefix::parse(text);
}
Address address(std::string_view text) {
  return *Address::parse(text);
}
std::string built(const Message& message) {
  return to_hex(message.finish(0));
}

const Prefix kOverlayV4 = prefix("100.64.0.0/10"), kOverlayV6 = prefix("fd12::/48");
const Prefix kBehindV4 = prefix("192.0.2.0/24"), kBehindV6 = prefix("2001:db8:1::/64");
constexpr std::uint32_t kTable = 3'000'000'001;

TEST(NetlinkPeopleGolden, RulesByUid) {
  // ip rule add pref 20001 to 100.64.0.0/10 uidrange 3001-3001 protocol 0xcd lookup 3000000001
  EXPECT_EQ(built(rule_add({RuleAction::lookup, 20001, kTable, {3001, 3001}, kOverlayV4})),
            "48000000200005060000000000000000"
            "020a0000000000010000000008000600"
            "214e000008000100644000000c001400"
            "b90b0000b90b000005001500cd000000"
            "08000f00015ed0b2");
  // ip -6 rule add pref 20002 to fd12::/48 uidrange 1000-60000 protocol 0xcd unreachable; ours marks it with
  // a table
  EXPECT_EQ(built(rule_add({RuleAction::unreachable, 20002, kTable, {1000, 60000}, kOverlayV6})),
            "54000000200005060000000000000000"
            "0a300000000000070000000008000600"
            "224e000014000100fd12000000000000"
            "00000000000000000c001400e8030000"
            "60ea000005001500cd000000"
            "08000f00015ed0b2");
  // ip rule del ...: the same without NLM_F_CREATE and NLM_F_EXCL
  EXPECT_EQ(built(rule_remove({RuleAction::lookup, 20001, kTable, {3001, 3001}, kOverlayV4})).substr(0, 32),
            "48000000210005000000000000000000");
}

TEST(NetlinkPeopleGolden, RoutesOfATable) {
  // ip route add 100.64.0.0/10 proto 0xcd src 100.64.0.8 table 3000000001 dev d-g0
  EXPECT_EQ(built(route_put(3, {kOverlayV4, address("100.64.0.8")}, false, kTable)),
            "3c000000180005060000000000000000"
            "020a000000cdfd010000000008000100"
            "6440000008000700644000080800"
            "0f00015ed0b20800040003000000");
  // ip -6 route add fd12::/48 proto 0xcd src fd12::7 table 3000000001 dev d-g0
  EXPECT_EQ(built(route_put(3, {kOverlayV6, address("fd12::7")}, false, kTable)),
            "54000000180005060000000000000000"
            "0a30000000cd00010000000014000100"
            "fd120000000000000000000000000000"
            "14000700fd1200000000000000000000"
            "0000000708000f00015ed0b208000400"
            "03000000");
}

TEST(NetlinkPeopleParse, ARuleIsReadAsItWasWritten) {
  for (const Rule& rule : {Rule{RuleAction::lookup, 20001, kTable, {3001, 3001}, kOverlayV4},
                           Rule{RuleAction::unreachable, 20002, kTable, {1000, 60000}, kOverlayV6}}) {
    const Bytes bytes = rule_add(rule).finish(0);
    const auto payload = split(bytes)->at(0).payload;
    const auto parsed = parse_rule(payload);
    ASSERT_TRUE(parsed);
    EXPECT_TRUE(parsed->by_uid);
    EXPECT_EQ(parsed->protocol, kRouteProtocol);
    EXPECT_EQ(parsed->rule, rule);
    for (std::size_t length = 0; length < payload.size(); ++length) (void)parse_rule(payload.first(length));
  }
}

// ---- the plan ----

/// What a kernel does with the steps; a step that it would refuse fails the test.
struct ModelKernel {
  HeldPeople held;

  /// What a uid's packets to that overlay meet: a session's source, "unreachable", or "device".
  std::string way_of(std::uint32_t uid, const Prefix& to) const {
    std::vector<Rule> rules = held.rules;
    std::ranges::sort(rules, {}, &Rule::priority);
    for (const Rule& rule : rules) {
      if (!rule.uids.contains(uid) || rule.to != to) continue;
      if (rule.action == RuleAction::unreachable) return "unreachable";
      for (const TableRoute& route : held.routes)
        if (route.table == rule.table && route.route.destination == to) return route.route.source.to_string();
    }
    return "device";
  }

  void run(const PeopleStep& step) {
    const auto same_place = [&](const TableRoute& r) {
      return r.table == step.route.table && r.route.destination == step.route.route.destination;
    };
    switch (step.kind) {
      case PeopleChange::add_rule:
        EXPECT_EQ(std::ranges::count(held.rules, step.rule), 0);
        held.rules.push_back(step.rule);
        break;
      case PeopleChange::remove_rule: {
        const auto at = std::ranges::find(held.rules, step.rule);
        ASSERT_NE(at, held.rules.end());
        held.rules.erase(at);
        break;
      }
      case PeopleChange::add_route:
        EXPECT_TRUE(std::ranges::none_of(held.routes, same_place));
        held.routes.push_back(step.route);
        break;
      case PeopleChange::replace_route:
        ASSERT_EQ(std::erase_if(held.routes, same_place), 1u);
        held.routes.push_back(step.route);
        break;
      case PeopleChange::remove_route:
        EXPECT_EQ(std::erase_if(held.routes, same_place), 1u);
        break;
    }
  }
};

/// What a state wants of one uid.
std::string wanted_way(const PeopleRouting& wanted, std::uint32_t uid, const Prefix& to) {
  if (to != wanted.overlay_v4 && to != wanted.overlay_v6 &&
      std::ranges::find(wanted.behind, to) == wanted.behind.end())
    return "device";
  if (!is_among(wanted.people, uid)) return "device";
  for (const SessionRoute& session : wanted.sessions)
    if (session.uid == uid) return (to.address.is_v4() ? session.v4 : session.v6).to_string();
  return "unreachable";
}

PeopleRouting some_people(std::mt19937& random) {
  PeopleRouting out{.overlay_v4 = kOverlayV4,
                    .overlay_v6 = kOverlayV6,
                    .behind = {},
                    .people = {{1000, 1007}},
                    .sessions = {}};
  for (const Prefix& behind : {kBehindV4, kBehindV6})
    if (random() % 2 == 0) out.behind.push_back(behind);
  if (random() % 3 == 0) out.people = {{1000, 1003}, {1005, 1009}};
  for (std::uint32_t uid = 1000; uid < 1008; ++uid) {
    if (random() % 2 == 0 || !is_among(out.people, uid)) continue;
    const auto host = static_cast<std::uint32_t>(1 + random() % 200);
    out.sessions.push_back({.uid = uid,
                            .v4 = Address::from_v4(0x64400000u + host),
                            .v6 = address("fd12::" + std::to_string(host))});
  }
  return out;
}

TEST(NetlinkPeoplePlan, EveryStepLeavesEachWithTheOldWayOrTheNew) {
  std::mt19937 random(7);
  const std::uint32_t block = table_block("cdn-cordon");
  ModelKernel kernel;
  PeopleRouting before;
  for (int round = 0; round < 300 && !testing::Test::HasFailure(); ++round) {
    const PeopleRouting wanted = some_people(random);
    const auto steps = plan_people(kernel.held, wanted, block);
    ASSERT_TRUE(steps);
    for (const PeopleStep& step : *steps) {
      kernel.run(step);
      for (std::uint32_t uid = 999; uid < 1011; ++uid) {
        for (const Prefix& to : {kOverlayV4, kOverlayV6, kBehindV4, kBehindV6}) {
          const std::string way = kernel.way_of(uid, to);
          const std::set<std::string> allowed{
              wanted_way(before, uid, to), wanted_way(wanted, uid, to),
              // Between two ways of a person stands none, never the device's.
              is_among(before.people, uid) || is_among(wanted.people, uid) ? "unreachable" : "device"};
          EXPECT_TRUE(allowed.contains(way)) << uid << " goes " << way << " in round " << round;
        }
      }
    }
    for (std::uint32_t uid = 999; uid < 1011; ++uid)
      for (const Prefix& to : {kOverlayV4, kBehindV4, kBehindV6})
        EXPECT_EQ(kernel.way_of(uid, to), wanted_way(wanted, uid, to)) << uid << " to " << to.to_string();
    EXPECT_TRUE(plan_people(kernel.held, wanted, block)->empty()) << "asked for what is there";
    before = wanted;
  }
  const auto away = plan_people(kernel.held, {}, block);
  for (const PeopleStep& step : *away) kernel.run(step);
  EXPECT_TRUE(kernel.held.rules.empty());
  EXPECT_TRUE(kernel.held.routes.empty());
}

TEST(NetlinkPeoplePlan, WhatAFormerDaemonLeftIsKeptOrGoes) {
  const std::uint32_t block = table_block("cdn-cordon");
  const Rule kept{RuleAction::lookup, 20001, block + 7, {1001, 1001}, kOverlayV4};
  HeldPeople held{.rules = {kept, kept, {RuleAction::lookup, 20001, block + 8, {1002, 1002}, kOverlayV4}},
                  .routes = {{block + 7, {kOverlayV4, address("100.64.1.1")}},
                             {block + 8, {kOverlayV4, address("100.64.1.2")}}}};
  PeopleRouting wanted{
      .overlay_v4 = kOverlayV4, .overlay_v6 = {}, .behind = {}, .people = {{1000, 2000}}, .sessions = {}};
  wanted.sessions = {{.uid = 1001, .v4 = address("100.64.1.1"), .v6 = {}},
                     {.uid = 1003, .v4 = address("100.64.1.3"), .v6 = {}}};
  ModelKernel kernel{.held = held};
  std::vector<PeopleChange> kinds;
  const auto steps = plan_people(held, wanted, block);
  for (const PeopleStep& step : *steps) {
    kinds.push_back(step.kind);
    kernel.run(step);
  }
  using enum PeopleChange;
  EXPECT_EQ(kinds, (std::vector{add_rule, add_route, add_rule, remove_rule, remove_rule, remove_route}));
  EXPECT_EQ(kernel.way_of(1001, kOverlayV4), "100.64.1.1");
  EXPECT_EQ(kernel.way_of(1002, kOverlayV4), "unreachable");
  EXPECT_EQ(kernel.way_of(1003, kOverlayV4), "100.64.1.3");
  EXPECT_EQ(std::ranges::count(kernel.held.rules, kept), 1) << "a second of the same went";
}

TEST(NetlinkPeoplePlan, InterfacesHaveBlocksOfTheirOwn) {
  std::set<std::uint32_t> blocks;
  for (const char* name : {"cdn-cordon", "cdn-a", "cdn-b", "lab-jump", "lab-trader", "lab-clerk"}) {
    EXPECT_EQ(table_block(name) % kTablesInBlock, 0u);
    EXPECT_GE(table_block(name), 0x80000000u) << "away from tables that people number";
    blocks.insert(table_block(name));
  }
  EXPECT_EQ(blocks.size(), 6u);
}

// ---- the kernel ----

class PeopleRoutes : public testing::Test {
 protected:
  void SetUp() override {
    if (!is_root()) GTEST_SKIP() << "network namespaces need root";
    space_ = std::make_unique<TestNamespace>();
    space_->in([&] {
      auto route = Socket::open(NETLINK_ROUTE);
      ASSERT_TRUE(route && route->query(link_create("d-net", "veth")));
      auto network = open_network();
      ASSERT_TRUE(network) << network.error().message();
      network_ = *std::move(network);
    });
    if (HasFatalFailure()) return;
    index_ = space_->in([] { return if_nametoindex("d-net"); });
    for (const char* name : {"d-net", "veth0"})
      ASSERT_TRUE(network_->set_up(space_->in([&] { return if_nametoindex(name); }), 0));
    std::vector<OwnAddress> own;
    for (const char* text : {"100.64.0.1", "fd12::1"}) own.push_back({prefix(text), false});
    for (const char* text : {"100.64.1.1", "100.64.1.2", "fd12::1:1", "fd12::1:2"})
      own.push_back({prefix(text), true});
    ASSERT_TRUE(network_->set_addresses(index_, own));
    wanted_ = {.overlay_v4 = kOverlayV4,
               .overlay_v6 = kOverlayV6,
               .behind = {},
               .people = {{3000, 3999}},
               .sessions = {{.uid = 3001, .v4 = address("100.64.1.1"), .v6 = address("fd12::1:1")},
                            {.uid = 3002, .v4 = address("100.64.1.2"), .v6 = address("fd12::1:2")}}};
    ASSERT_TRUE(network_->set_people(index_, wanted_));
    ASSERT_TRUE(network_->set_routes(
        index_, {{kOverlayV4, address("100.64.0.1")}, {kOverlayV6, address("fd12::1")}}));
  }

  /// The source that the kernel gives a socket of that uid, or its error's name.
  std::string source_of(std::uint32_t uid, std::string_view to) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    const Address destination = address(to);
    const pid_t child = space_->in([&] {
      const pid_t forked = fork();
      if (forked == 0) {
        const std::string text = setresuid(uid, uid, uid) == 0 ? chosen(destination) : "no such uid";
        _exit(write(ends[1], text.data(), text.size()) < 0);
      }
      return forked;
    });
    close(ends[1]);
    char text[128];
    const ssize_t got = read(ends[0], text, sizeof text);
    close(ends[0]);
    waitpid(child, nullptr, 0);
    return {text, static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
  }

  static std::string chosen(const Address& to) {
    const int fd = socket(to.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    v4.sin_family = AF_INET, v6.sin6_family = AF_INET6;
    v4.sin_port = v6.sin6_port = htons(9);
    std::memcpy(&v4.sin_addr, to.raw().data(), 4);
    std::copy(to.bytes.begin(), to.bytes.end(), v6.sin6_addr.s6_addr);
    const bool is_v4 = to.is_v4();
    auto* raw = is_v4 ? reinterpret_cast<sockaddr*>(&v4) : reinterpret_cast<sockaddr*>(&v6);
    socklen_t size = is_v4 ? sizeof v4 : sizeof v6;
    if (connect(fd, raw, size) != 0) return strerrorname_np(errno);
    getsockname(fd, raw, &size);
    char text[INET6_ADDRSTRLEN];
    return inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? static_cast<void*>(&v4.sin_addr) : &v6.sin6_addr,
                     text, sizeof text);
  }

  std::size_t rules_left() { return rules_of(kRouteProtocol); }
  std::size_t rules_of(std::uint8_t protocol) {
    return space_->in([&] {
      auto socket = Socket::open(NETLINK_ROUTE);
      std::size_t count = 0;
      for (const std::uint8_t family : {AF_INET, AF_INET6}) {
        const auto replies = socket->query(rule_dump(family));
        for (const Reply& reply : *replies) {
          const auto parsed = parse_rule(reply.payload);
          count += parsed->by_uid && parsed->protocol == protocol;
        }
      }
      return count;
    });
  }

  std::unique_ptr<TestNamespace> space_;
  std::unique_ptr<Network> network_;
  PeopleRouting wanted_;
  unsigned index_ = 0;
};

TEST_F(PeopleRoutes, EachUidHasItsSessionsAddress) {
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(source_of(3001, "100.64.9.9"), "100.64.1.1");
    EXPECT_EQ(source_of(3001, "fd12::99"), "fd12::1:1");
    EXPECT_EQ(source_of(3002, "100.64.9.9"), "100.64.1.2");
    EXPECT_EQ(source_of(3002, "fd12::99"), "fd12::1:2");
    EXPECT_EQ(source_of(200, "100.64.9.9"), "100.64.0.1") << "the device";
    EXPECT_EQ(source_of(200, "fd12::99"), "fd12::1");
    EXPECT_EQ(source_of(3003, "100.64.9.9"), "ENETUNREACH") << "no session";
    EXPECT_EQ(source_of(3003, "fd12::99"), "ENETUNREACH");
    // A daemon that starts anew finds all of it.
    space_->in([&] { network_ = open_network().value(); });
    ASSERT_TRUE(network_->set_people(index_, wanted_));
    EXPECT_EQ(rules_left(), 6u);
  }
}

TEST_F(PeopleRoutes, TheWayBehindAGatewayIsEachPersonsOwnToo) {
  wanted_.behind = {kBehindV4, kBehindV6};
  ASSERT_TRUE(network_->set_people(index_, wanted_));
  ASSERT_TRUE(network_->set_routes(index_, {{kOverlayV4, address("100.64.0.1")},
                                            {kOverlayV6, address("fd12::1")},
                                            {kBehindV4, address("100.64.0.1")},
                                            {kBehindV6, address("fd12::1")}}));
  EXPECT_EQ(source_of(3001, "192.0.2.7"), "100.64.1.1");
  EXPECT_EQ(source_of(3001, "2001:db8:1::7"), "fd12::1:1");
  EXPECT_EQ(source_of(3002, "192.0.2.7"), "100.64.1.2");
  EXPECT_EQ(source_of(200, "192.0.2.7"), "100.64.0.1") << "the device";
  EXPECT_EQ(source_of(200, "2001:db8:1::7"), "fd12::1");
  EXPECT_EQ(source_of(3003, "192.0.2.7"), "ENETUNREACH") << "no session";
  EXPECT_EQ(source_of(3003, "2001:db8:1::7"), "ENETUNREACH");
  EXPECT_EQ(rules_left(), 12u);
  wanted_.behind.clear();
  ASSERT_TRUE(network_->set_people(index_, wanted_));
  EXPECT_EQ(rules_left(), 6u);
}

TEST_F(PeopleRoutes, AsksTwiceWritesOnce) {
  for (int attempt = 0; attempt < 5; ++attempt) {
    wait_until_quiet(*network_);
    ASSERT_TRUE(network_->set_people(index_, wanted_));
    if (!network_->drain()) return;  // what the kernel does by itself shows too, now and then
  }
  FAIL() << "written again";
}

TEST_F(PeopleRoutes, ASessionThatEndsLeavesNoWay) {
  wanted_.sessions.erase(wanted_.sessions.begin());
  ASSERT_TRUE(network_->set_people(index_, wanted_));
  EXPECT_EQ(source_of(3001, "100.64.9.9"), "ENETUNREACH");
  EXPECT_EQ(source_of(3001, "fd12::99"), "ENETUNREACH");
  EXPECT_EQ(source_of(3002, "100.64.9.9"), "100.64.1.2") << "the other's stays";
  wanted_.sessions.insert(wanted_.sessions.begin(),
                          {.uid = 3001, .v4 = address("100.64.0.1"), .v6 = address("fd12::1")});
  ASSERT_TRUE(network_->set_people(index_, wanted_));
  EXPECT_EQ(source_of(3001, "fd12::99"), "fd12::1") << "another session has another address";
  EXPECT_EQ(rules_left(), 6u);
}

TEST_F(PeopleRoutes, WhatAReleaseMarkedAsEigrpsIsTakenOver) {
  const std::uint32_t block = table_block("d-net");
  const auto left = [&] { return rules_of(kFormerRouteProtocol); };
  for (const std::string& command :
       {fmt::format("ip rule add pref 20001 to 100.64.0.0/10 uidrange 3001-3001 protocol 0xc0 lookup {}",
                    block + 1),
        fmt::format("ip rule add pref 20001 to 100.64.0.0/10 uidrange 3009-3009 protocol 0xc0 lookup {}",
                    block + 9),
        fmt::format("ip -6 rule add pref 20002 to fd12::/48 uidrange 3000-3999 protocol 0xc0 lookup {}",
                    block),
        fmt::format("ip route add 100.64.0.0/10 proto 0xc0 src 100.64.0.1 table {} dev d-net", block + 9),
        std::string("ip rule add pref 20001 to 100.64.0.0/10 uidrange 7-7 protocol 0xc0 lookup 77"),
        std::string("ip route add 192.0.2.0/24 proto 0xc0 dev d-net")})
    ASSERT_EQ(space_->in([&] { return std::system(command.c_str()); }), 0) << command;
  EXPECT_EQ(left(), 4u);
  ASSERT_TRUE(network_->set_people(index_, wanted_));
  EXPECT_EQ(left(), 1u) << "EIGRP's own stays";
  EXPECT_EQ(rules_of(kRouteProtocol), 6u);
  EXPECT_EQ(source_of(3001, "100.64.9.9"), "100.64.1.1");
  const std::string look = fmt::format("ip route show table {} | grep -q .", block + 9);
  EXPECT_NE(space_->in([&] { return std::system(look.c_str()); }), 0) << "a session that is over";
  EXPECT_EQ(space_->in([] { return std::system("ip route show proto 0xc0 | grep -q 192.0.2.0/24"); }), 0);
}

TEST_F(PeopleRoutes, NothingIsLeftBehind) {
  EXPECT_EQ(rules_left(), 6u);
  space_->in([&] {
    ASSERT_TRUE(Socket::open(NETLINK_ROUTE)->query(link_delete(index_)));
    ASSERT_TRUE(network_->remove_routing("d-other"));
    EXPECT_EQ(rules_left(), 6u) << "of another instance";
    ASSERT_TRUE(network_->remove_routing("d-net"));
  });
  EXPECT_EQ(rules_left(), 0u);
}

}  // namespace netlink_people_test
}  // namespace cordon::node::netlink
