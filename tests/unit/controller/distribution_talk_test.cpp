// What nodes tell and ask besides acknowledging, over TLS on the loopback.

#include <gtest/gtest.h>

#include "tests/support/controller_rig.h"

namespace cordon::controller {
namespace distribution_talk_test {

using namespace test;
using wire::ToController;
using wire::ToNode;

bool has_rule(const policy::NodeState& state, const std::string& name) {
  return std::ranges::any_of(state.entries, [&](const auto& entry) {
    const auto* rule = std::get_if<policy::RuleValue>(&entry.second);
    return rule != nullptr && rule->name == name;
  });
}

TEST(Nodes, HeartbeatsAreConfirmedWhileTheLogCanBeRead) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  FakeNode node(rig.port(), &ledger);
  ASSERT_TRUE(node.hello() && node.take_state());
  ToController beat;
  beat.mutable_heartbeat()->set_sent_boot_ns(99);
  node.send(beat);
  const auto answer = node.receive_kind(ToNode::kHeartbeat);
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->heartbeat().confirm());
  EXPECT_EQ(answer->heartbeat().echo_boot_ns(), 99u);
  EXPECT_TRUE(rig.eventually([&] {
    return rig.server->distribution().nodes().front().leases_end > system_clock().now() + Seconds(890);
  }));
}

TEST(Nodes, WherePeersMoveToIsTakenNowAndThenOnly) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  const FakeDevice web = rig.add_device("web", {"web"});
  rig.apply_policy(kWebToLedger);
  FakeNode web_node(rig.port(), &web);
  FakeNode node(rig.port(), &ledger);
  ASSERT_TRUE(web_node.hello() && web_node.take_state());
  ASSERT_TRUE(node.hello() && node.take_state());
  const auto see = [&](const char* where) {
    ToController beat;
    wire::PeerObservation& peer = *beat.mutable_heartbeat()->add_peers();
    peer.set_device("web");
    peer.set_last_handshake_age_s(1);
    wire::encode_endpoint(must(Endpoint::parse(where)), peer.mutable_endpoint());
    node.send(beat);
    return node.receive_kind(ToNode::kHeartbeat).has_value();
  };
  ASSERT_TRUE(see("192.0.2.1:1000"));
  EXPECT_EQ(rig.metrics.counted("observations_refused"), 0u);
  ASSERT_TRUE(see("192.0.2.1:1001") && see("192.0.2.1:1002") && see("192.0.2.1:1000"));
  EXPECT_EQ(rig.metrics.counted("observations_refused"), 2u) << "the last one says nothing new";
}

TEST(Nodes, LoginsWhyAndLogout) {
  ControllerRig rig;
  rig.add_device("ledger", {"settlement"});
  const FakeDevice laptop = rig.add_device("laptop");
  rig.add(user("u-trader", "trader"));
  rig.apply_policy(std::string(kWebToLedger) +
                   "[[allow]]\nname = \"traders\"\nfrom = { users = [\"trader\"] }\n"
                   "to = [\"settlement/ledger\"]\n");
  FakeNode node(rig.port(), &laptop);
  ASSERT_TRUE(node.hello() && node.take_state());
  const auto why = [&](const std::string& target, std::uint32_t port) {
    ToController message;
    message.mutable_why()->set_request(1);
    message.mutable_why()->set_uid(1000);
    message.mutable_why()->set_target(target);
    message.mutable_why()->set_protocol(6);
    message.mutable_why()->set_port(port);
    node.send(message);
    return node.receive_kind(ToNode::kWhy)->why();
  };
  EXPECT_EQ(why("ledger", 5432).answer(), why("nobody", 1).answer()) << "before the login nothing is told";
  ToController login;
  login.mutable_login()->set_request(7);
  login.mutable_login()->set_user("trader");
  login.mutable_login()->set_password("right");
  login.mutable_login()->set_uid(1000);
  node.send(login);
  ASSERT_TRUE(node.take_until([](const auto& state) { return has_rule(state, "traders"); }));
  const auto opened = node.receive_kind(ToNode::kLogin);
  ASSERT_TRUE(opened && opened->login().ok());
  ASSERT_EQ(opened->login().reach_size(), 1);
  EXPECT_EQ(opened->login().reach(0).service(), "settlement/ledger");
  const auto allowed = why("ledger", 5432);
  EXPECT_TRUE(allowed.allowed());
  EXPECT_EQ(allowed.rule(), "traders");
  EXPECT_EQ(why("ledger", 22).answer(), why("nobody", 22).answer());
  EXPECT_FALSE(why("ledger", 22).allowed());
  ToController logout;
  logout.mutable_logout()->set_request(8);
  logout.mutable_logout()->set_uid(1001);
  node.send(logout);
  EXPECT_FALSE(node.receive_kind(ToNode::kLogout)->logout().ok()) << "somebody else's session";
  logout.mutable_logout()->set_uid(1000);
  node.send(logout);
  EXPECT_TRUE(node.receive_kind(ToNode::kLogout)->logout().ok());
}

TEST(Nodes, FlowReportsAreResolvedAndKept) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  FakeNode node(rig.port(), &ledger);
  ASSERT_TRUE(node.hello() && node.take_state());
  const Address own = node.state().settings()->v4;
  ToController report;
  wire::Flow& flow = *report.mutable_flows()->add_flows();
  flow.set_kind(wire::Flow::DENIED);
  flow.set_source(wire::encode_address(must(Address::parse("192.0.2.9"))));
  flow.set_destination(wire::encode_address(own));
  flow.set_protocol(6);
  flow.set_reason("no\ngrant");
  node.send(report);
  ASSERT_TRUE(rig.eventually([&] { return must(rig.flows->query({})).size() == 1; }));
  const auto kept = rig.on_strand([&] { return must(rig.flows->query({})).front(); });
  EXPECT_EQ(kept.destination_device, "ledger");
  EXPECT_EQ(kept.source_device, "");
  EXPECT_EQ(kept.source.to_string(), "192.0.2.9");
  EXPECT_EQ(kept.reason, "no?grant");
}

TEST(Nodes, FlowsHaveTheNamesOfTheirTime) {
  ControllerRig rig;
  rig.apply_policy(kWebToLedger);
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  FakeNode node(rig.port(), &ledger);
  ASSERT_TRUE(node.hello() && node.take_state());
  const Address own = node.state().settings()->v4;
  ToController report;
  const auto add = [&](wire::Flow::Kind kind, const Address& to, std::uint16_t port) {
    wire::Flow& flow = *report.mutable_flows()->add_flows();
    flow.set_kind(kind);
    flow.set_at_us(to_us(system_clock().now()));
    flow.set_source(wire::encode_address(must(Address::parse("192.0.2.9"))));
    flow.set_destination(wire::encode_address(to));
    flow.set_protocol(6);
    flow.set_destination_port(port);
    flow.set_reason("underlay");
  };
  add(wire::Flow::DENIED, own, 5432);
  add(wire::Flow::DENIED, own, 22);
  add(wire::Flow::UNDERLAY, must(Address::parse("198.51.100.10")), 5432);
  add(wire::Flow::DENIED, must(Address::parse("203.0.113.9")), 53);
  report.mutable_flows()->mutable_flows(3)->set_direction(1);
  node.send(report);
  ASSERT_TRUE(rig.eventually([&] { return must(rig.flows->query({})).size() == 4; }));
  rig.apply_policy("");
  const auto kept = rig.on_strand([&] { return must(rig.flows->after({}, 0, 10)).flows; });
  EXPECT_EQ(kept[0].segment + "/" + kept[0].service, "settlement/ledger");
  EXPECT_EQ(kept[1].segment + "/" + kept[1].service, "settlement/") << "no service has this port";
  EXPECT_EQ(kept[2].destination_device, "ledger") << "what comes around the overlay comes to who tells it";
  EXPECT_EQ(kept[2].service, "ledger");
  EXPECT_EQ(kept[2].source_device, "") << "who knows";
  EXPECT_EQ(kept[3].source_device, "ledger") << "nobody's address, but it is the node that sends";
}

TEST(Nodes, CountersStandUntilTheyAreToldAgain) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  FakeNode node(rig.port(), &ledger);
  ASSERT_TRUE(node.hello() && node.take_state());
  const auto beat = [&](std::uint32_t rule, std::uint64_t packets) {
    ToController message;
    auto& counted = *message.mutable_heartbeat()->mutable_counted();
    auto& by_rule = *counted.add_rules();
    by_rule.set_rule(rule);
    by_rule.set_packets(packets);
    by_rule.set_bytes(packets * 100);
    auto& by_reason = *counted.add_reasons();
    by_reason.set_reason("no grant");
    by_reason.set_packets(packets);
    node.send(message);
    ASSERT_TRUE(node.receive_kind(ToNode::kHeartbeat));
  };
  beat(1, 5);
  beat(2, 7);
  const auto nodes = rig.on_strand([&] { return rig.services->distribution->nodes(); });
  ASSERT_EQ(nodes.size(), 1u);
  EXPECT_EQ(nodes[0].rules.at(RuleId(1)).packets, 5u) << "it didn't change, so it wasn't told again";
  EXPECT_EQ(nodes[0].rules.at(RuleId(2)).bytes, 700u);
  EXPECT_EQ(nodes[0].reasons.at("no grant").packets, 7u);
}

}  // namespace distribution_talk_test
}  // namespace cordon::controller
