// Nodes that are fed their states, over TLS on the loopback.

#include <gtest/gtest.h>

#include "tests/support/controller_rig.h"

namespace cordon::controller {
namespace distribution_nodes_test {

using namespace test;
using wire::ToController;
using wire::ToNode;

bool has_grant(const policy::NodeState& state, policy::Direction direction) {
  return std::ranges::any_of(state.entries, [&](const auto& entry) {
    const auto* grant = std::get_if<policy::GrantKey>(&entry.first);
    return grant != nullptr && grant->direction == direction;
  });
}

bool has_rule(const policy::NodeState& state, const std::string& name) {
  return std::ranges::any_of(state.entries, [&](const auto& entry) {
    const auto* rule = std::get_if<policy::RuleValue>(&entry.second);
    return rule != nullptr && rule->name == name;
  });
}

TEST(Nodes, GetTheirWholeStateThenDeltasAndTheirReceiptsAreKept) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  const FakeDevice web = rig.add_device("web", {"web"});
  FakeNode ledger_node(rig.port(), &ledger);
  FakeNode web_node(rig.port(), &web);
  ASSERT_TRUE(ledger_node.hello());
  ASSERT_TRUE(web_node.hello());
  ASSERT_TRUE(ledger_node.take_state());
  ASSERT_TRUE(web_node.take_state());
  EXPECT_TRUE(ledger_node.digest_right());
  ASSERT_NE(ledger_node.state().settings(), nullptr);
  EXPECT_EQ(ledger_node.state().settings()->device, DeviceId("ledger"));
  const Revision revision = rig.apply_policy(kWebToLedger);
  // The source's part comes once the target has acked its own.
  ASSERT_TRUE(
      ledger_node.take_until([](const auto& state) { return has_grant(state, policy::Direction::ingress); }));
  ASSERT_TRUE(
      web_node.take_until([](const auto& state) { return has_grant(state, policy::Direction::egress); }));
  EXPECT_TRUE(web_node.digest_right());
  ASSERT_TRUE(rig.eventually([&] {
    const auto receipts = rig.server->distribution().receipts(revision);
    return receipts.size() == 2 && std::ranges::all_of(receipts, &ReceiptStatus::acked);
  }));
  const auto receipts = rig.on_strand([&] { return rig.server->distribution().receipts(revision); });
  EXPECT_FALSE(receipts.front().receipt_signature.empty());
  EXPECT_GE(receipts.front().after_us, 0);
}

TEST(Nodes, ARevocationReachesEveryNodeAndIsolationMarksTheHostsOwnWord) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  const FakeDevice web = rig.add_device("web", {"web"});
  rig.apply_policy(kWebToLedger);
  FakeNode ledger_node(rig.port(), &ledger);
  FakeNode web_node(rig.port(), &web);
  ASSERT_TRUE(ledger_node.hello() && ledger_node.take_state());
  ASSERT_TRUE(web_node.hello() && web_node.take_state());
  const Revision revision = rig.add(kinds::DeviceIsolated{.device = DeviceId("web"), .reason = "test"});
  std::promise<std::vector<ReceiptStatus>> told;
  rig.on_strand([&] {
    rig.server->distribution().wait_for(revision, Seconds(5),
                                        [&](auto receipts) { told.set_value(receipts); });
    return 0;
  });
  ASSERT_TRUE(web_node.take_until([](const auto& state) { return state.settings()->isolated; }));
  ASSERT_TRUE(ledger_node.take_state());
  const auto receipts = told.get_future().get();
  ASSERT_EQ(receipts.size(), 2u);
  for (const ReceiptStatus& receipt : receipts) EXPECT_EQ(receipt.self, receipt.device == DeviceId("web"));
}

TEST(Nodes, OneThatIsAwayIsToldOfWithTheEndOfItsLeases) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  const FakeDevice web = rig.add_device("web", {"web"});
  {
    FakeNode node(rig.port(), &ledger);
    ASSERT_TRUE(node.hello() && node.take_state());
  }
  ASSERT_TRUE(rig.eventually([&] { return !rig.server->distribution().nodes().front().connected; }));
  const Revision revision = rig.apply_policy(kWebToLedger);
  const auto receipts = rig.on_strand([&] { return rig.server->distribution().receipts(revision); });
  ASSERT_FALSE(receipts.empty());
  EXPECT_FALSE(receipts.front().acked);
  EXPECT_GT(receipts.front().leases_end, system_clock().now());
}

TEST(Nodes, ADigestThatIsRightSparesTheWholeState) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  FakeNode first(rig.port(), &ledger);
  ASSERT_TRUE(first.hello() && first.take_state());
  FakeNode second(rig.port(), &ledger);
  ToController hello = first.hello_message();
  second.send(hello);
  ASSERT_TRUE(second.receive_kind(ToNode::kWelcome));
  const auto next = second.receive();
  ASSERT_TRUE(next && next->has_delta()) << "only an empty delta, for its receipt";
  EXPECT_EQ(next->delta().upserts_size(), 0);
  const auto goodbye = first.receive_kind(ToNode::kGoodbye);
  EXPECT_TRUE(goodbye) << "the newer session takes the place of the older";
}

TEST(Nodes, AfterANackTheWholeStateComesAgain) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  FakeNode node(rig.port(), &ledger);
  ASSERT_TRUE(node.hello());
  const auto end = node.receive_kind(ToNode::kEnd);
  ASSERT_TRUE(end);
  ToController nack;
  nack.mutable_nack()->set_sequence(end->end().sequence());
  nack.mutable_nack()->set_reason("map full");
  node.send(nack);
  ASSERT_TRUE(
      rig.eventually([&] { return rig.server->distribution().nodes().front().last_nack == "map full"; }));
  ASSERT_TRUE(node.take_state());
  EXPECT_TRUE(rig.eventually([&] { return rig.server->distribution().nodes().front().last_nack.empty(); }));
}

TEST(Nodes, AReceiptThatIsSignedWithAnotherKeyEndsTheSession) {
  ControllerRig rig;
  FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  FakeNode node(rig.port(), &ledger);
  ASSERT_TRUE(node.hello());
  const auto end = node.receive_kind(ToNode::kEnd);
  ASSERT_TRUE(end && node.apply(*end));
  ledger.key = must(crypto::PrivateKey::generate());
  node.send(node.ack());
  EXPECT_TRUE(node.receive_kind(ToNode::kGoodbye));
  EXPECT_EQ(rig.metrics.counted("acks_refused"), 1u);
}

TEST(Nodes, AStalledReaderIsCoalescedAndCatchesUp) {
  ControllerRig rig;
  const FakeDevice ledger = rig.add_device("ledger", {"settlement"});
  rig.add_device("web", {"web"});
  FakeNode node(rig.port(), &ledger);
  ASSERT_TRUE(node.hello() && node.take_state());
  for (int i = 0; i < 30; ++i) rig.apply_policy(i % 2 == 0 ? kWebToLedger : "");
  const Revision last = rig.apply_policy(kWebToLedger);
  ASSERT_TRUE(node.take_until([](const auto& state) { return has_rule(state, "web-to-ledger"); }));
  ASSERT_TRUE(rig.eventually([&] { return true; }));
  // Unacked: at most the window; everything else went into few deltas.
  while (rig.on_strand([&] { return !rig.server->distribution().receipts(last).front().acked; })) {
    const auto message = node.receive(std::chrono::milliseconds(500));
    if (!message) break;
    if (node.apply(*message)) node.send(node.ack());
  }
  EXPECT_TRUE(rig.on_strand([&] { return rig.server->distribution().receipts(last).front().acked; }));
  EXPECT_TRUE(node.digest_right());
  EXPECT_LT(node.sequence(), 20u);
}

}  // namespace distribution_nodes_test
}  // namespace cordon::controller
