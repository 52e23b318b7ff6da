// What somebody else changes of our addresses, rules and routes comes back, and is told: on the real kernel.

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <fstream>

#include "node/netlink/people_plan.h"
#include "node/netlink/route_messages.h"
#include "node/netlink/rule_messages.h"
#include "node/netlink/socket.h"
#include "tests/support/agent_rig.h"
#include "tests/support/network_namespace.h"

namespace cordon::node {
namespace agent_network_test {

using netlink::Socket;
using std::chrono::milliseconds;
using test::base_state;
using test::FakeLink;

/// What of the kernel is ours.
struct Ours {
  std::set<netlink::Rule> rules;
  std::set<netlink::TableRoute> routes;
  std::set<OwnAddress> addresses;
  bool operator==(const Ours&) const = default;
};

class AgentNetwork : public test::AgentRig {
 protected:
  void SetUp() override {
    if (!is_root()) GTEST_SKIP() << "network namespaces need root";
    space_ = std::make_unique<TestNamespace>();
    space_->in([&] {
      socket_.emplace(Socket::open(NETLINK_ROUTE).value());
      ASSERT_TRUE(socket_->query(netlink::link_create("cdn-cordon", "veth")));
      real_ = open_network().value();
      tunnel.index = if_nametoindex("cdn-cordon");
      ASSERT_TRUE(real_->set_up(if_nametoindex("veth0"), 0));
    });
    used_network = real_.get();
  }

  Ours ours() {
    Ours out;
    const auto each = [&](const netlink::Message& message, const auto& take) {
      const auto replies = socket_->query(message);
      if (!replies) return;  // a table that nothing was ever written to
      for (const netlink::Reply& reply : *replies) take(reply);
    };
    for (const std::uint8_t family : {AF_INET, AF_INET6}) {
      each(netlink::rule_dump(family), [&](const netlink::Reply& reply) {
        const auto parsed = netlink::parse_rule(reply.payload).value();
        if (parsed.by_uid && parsed.protocol == netlink::kRouteProtocol) out.rules.insert(parsed.rule);
      });
      each(netlink::route_dump(family, tunnel.index, netlink::kEveryTable), [&](const netlink::Reply& reply) {
        const auto parsed = netlink::parse_route(reply.payload).value();
        if (parsed.ifindex == tunnel.index && parsed.protocol == netlink::kRouteProtocol)
          out.routes.insert({.table = parsed.table, .route = parsed.route});
      });
    }
    each(netlink::address_dump(tunnel.index), [&](const netlink::Reply& reply) {
      const auto parsed = netlink::parse_address(reply.payload).value();
      if (parsed.ifindex == tunnel.index && !parsed.link_local) out.addresses.insert(parsed.address);
    });
    return out;
  }

  std::unique_ptr<TestNamespace> space_;
  std::optional<Socket> socket_;
  std::unique_ptr<Network> real_;
};

TEST_F(AgentNetwork, WhatSomebodyElseTookAwayComesBackAndIsTold) {
  enrolled();
  config.people_uids = {{3000, 3999}};
  policy::NodeState state = base_state();
  auto& ledger = std::get<policy::PeerValue>(state.entries.at(policy::PeerKey{DeviceId{"ledger"}}));
  ledger.allowed_ips.push_back(Prefix::parse("192.0.2.0/24").value());  // it is a gateway
  state.entries[policy::LocalSessionKey{SessionId{"s-0000000000000001"}}] = test::session(3001);
  std::atomic<bool> acked = false;
  std::atomic<unsigned> told = 0;
  serve([&](FakeLink& link) {
    if (!welcome(link)) return;
    send_state(link, state, 1, 2);
    while (const auto message = link.read()) {
      acked = acked || message->has_ack();
      unsigned of_network = 0;
      for (const std::string& alarm : message->heartbeat().alarms())
        of_network += alarm.starts_with("network: ") && alarm.ends_with("changed by somebody else: put back");
      told = std::max(told.load(), of_network);
    }
  });
  run_agent();
  ASSERT_TRUE(until([&] { return acked.load(); }));
  const Ours whole = ours();
  ASSERT_EQ(whole.rules.size(), 6u) << "for each family and the subnet a session's and the people's";
  ASSERT_EQ(whole.routes.size(), 6u) << "for each family and the subnet the device's and the session's";
  ASSERT_EQ(whole.addresses.size(), 4u);
  EXPECT_FALSE(until([&] { return told != 0; }, milliseconds(1'500))) << "our own changes are no alarm";

  const auto comes_back = [&](const std::string& what, const netlink::Message& removal) {
    ASSERT_TRUE(socket_->query(removal)) << what;
    EXPECT_NE(ours(), whole) << what;
    const auto begun = std::chrono::steady_clock::now();
    EXPECT_TRUE(until([&] { return ours() == whole; })) << what;
    RecordProperty(what,
                   std::to_string((std::chrono::steady_clock::now() - begun) / milliseconds(1)) + " ms");
  };
  for (const netlink::Rule& rule : whole.rules)
    comes_back("rule " + rule.to.to_string(), netlink::rule_remove(rule));
  for (const netlink::TableRoute& route : whole.routes)
    comes_back("route " + route.route.destination.to_string(),
               netlink::route_remove(tunnel.index, route.route, route.table));
  for (const OwnAddress& address : whole.addresses)
    comes_back("address " + address.prefix.to_string(),
               netlink::address_remove(tunnel.index, address.prefix));
  // One that was changed, not taken away: the session's to the device's source.
  for (const netlink::TableRoute& route : whole.routes) {
    if (route.table == netlink::kMainTable) continue;
    Route other = route.route;
    other.source = other.source.is_v4() ? test::address("100.64.0.2") : test::address("fd12:3456:789a::2");
    comes_back("changed " + other.destination.to_string(),
               netlink::route_put(tunnel.index, other, true, route.table));
  }
  EXPECT_TRUE(until([&] { return told == 3; })) << "one for each sort: " << told;
  finish();
}

}  // namespace agent_network_test
}  // namespace cordon::node
