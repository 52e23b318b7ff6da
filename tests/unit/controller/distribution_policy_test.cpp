// What nodes have to do with policies and facts: what they tell becomes facts, and refusing a state while a
// policy waits is refusing the policy.
#include <gtest/gtest.h>

#include "controller/distribution/distribution.h"
#include "tests/support/controller_rig.h"

namespace cordon::controller {
namespace distribution_policy_test {

using namespace test;

const DeviceId kLedger("ledger");
const std::string kPolicy =
    "[segments.web]\nmembers = [\"tag:web\"]\n[segments.web.services]\nsite = [\"tcp/443\"]\n"
    "[[allow]]\nname = \"w\"\nfrom = { tags = [\"web\"] }\nto = [\"web/site\"]\n";

class NodesAndPolicies : public ::testing::Test {
 protected:
  const policy::Device& ledger() { return rig.log->world().devices.at(kLedger); }
  wire::ToController heartbeat(const std::vector<std::string>& passing) {
    wire::ToController message;
    message.mutable_heartbeat()->set_sent_boot_ns(18);
    auto& checks = *message.mutable_heartbeat()->mutable_checks();
    for (const auto& name : passing) checks.add_passing(name);
    return message;
  }
  Revision apply_pending() {
    return rig.add(kinds::PolicyApplied{{{"p.toml", kPolicy}}, system_clock().now() + Seconds(300), "2025b"});
  }
  /// Takes a whole state and refuses it.
  void refuse_state(FakeNode& node) {
    ASSERT_TRUE(node.hello());
    const auto end = node.receive_kind(wire::ToNode::kEnd);
    ASSERT_TRUE(end);
    wire::ToController nack;
    nack.mutable_nack()->set_sequence(end->end().sequence());
    nack.mutable_nack()->set_reason("the map of targets is full");
    ASSERT_TRUE(node.send(nack));
  }

  ControllerRig rig;
  FakeDevice device = rig.add_device("ledger", {"web"});
};

TEST_F(NodesAndPolicies, AConnectionTellsWhereItComesFromAndProvesTheKey) {
  FakeNode node(rig.port(), &device);
  ASSERT_TRUE(node.hello());
  EXPECT_TRUE(rig.eventually([&] { return ledger().source == must(Address::parse("127.0.0.1")); }));
  EXPECT_EQ(rig.on_strand([&] { return ledger().attestation; }), policy::Attestation::software);
}

TEST_F(NodesAndPolicies, HeartbeatsTellTheChecksThatPass) {
  FakeNode node(rig.port(), &device);
  ASSERT_TRUE(node.hello());
  ASSERT_TRUE(node.send(heartbeat({"os_updates", "configuration"})));
  const std::set<std::string> both{"os_updates", "configuration"};
  EXPECT_TRUE(rig.eventually([&] { return ledger().checks == both; }));
  ASSERT_TRUE(node.send(heartbeat({})));
  EXPECT_TRUE(rig.eventually([&] { return ledger().checks == std::set<std::string>{}; }));
}

TEST_F(NodesAndPolicies, WhatANodeUnderstandsAndHoldsIsKept) {
  {
    FakeNode node(rig.port(), &device);
    auto hello = node.hello_message();
    hello.mutable_hello()->add_features("state/1");
    (*hello.mutable_hello()->mutable_map_sizes())["targets"] = 4096;
    ASSERT_TRUE(node.send(hello));
    ASSERT_TRUE(node.receive_kind(wire::ToNode::kWelcome));
  }
  const auto status = [&] { return rig.services->distribution->nodes().at(0); };
  ASSERT_TRUE(rig.eventually([&] { return !status().connected; }));
  const NodeStatus known = rig.on_strand(status);
  EXPECT_EQ(known.features, std::set<std::string>{"state/1"});
  EXPECT_EQ(known.map_sizes.at("targets"), 4096u);
}

TEST_F(NodesAndPolicies, ARefusalOfAPolicyThatWaitsIsTold) {
  FakeNode node(rig.port(), &device);
  ASSERT_TRUE(node.hello());
  ASSERT_TRUE(node.take_state());
  const Revision revision = apply_pending();
  const auto delta = node.receive_kind(wire::ToNode::kDelta);
  ASSERT_TRUE(delta);
  wire::ToController nack;
  nack.mutable_nack()->set_sequence(delta->delta().sequence());
  nack.mutable_nack()->set_reason("no room");
  ASSERT_TRUE(node.send(nack));
  EXPECT_TRUE(rig.eventually([&] {
    const auto receipts = rig.services->distribution->receipts(revision);
    return receipts.size() == 1 && receipts[0].nack == "no room";
  }));
  // It is sent again: first as a target, and once that is acked as a source.
  const auto acked = [&] { return rig.services->distribution->receipts(revision)[0].acked; };
  for (int i = 0; i < 3 && !rig.on_strand(acked); ++i) {
    ASSERT_TRUE(node.take_state());
    for (int wait = 0; wait < 100 && !rig.on_strand(acked); ++wait)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_TRUE(rig.on_strand(acked));
}

TEST_F(NodesAndPolicies, ARefusalByANodeThatComesWhileAPolicyWaitsIsTold) {
  const Revision revision = apply_pending();
  rig.on_strand([&] {  // a controller that was restarted meanwhile
    rig.server->stop();
    rig.server = must(start_distribution(*rig.services, rig.dir() / "receipts.db", quick_limits()));
    return 0;
  });
  FakeNode node(rig.port(), &device);
  refuse_state(node);
  ASSERT_TRUE(rig.eventually([&] {
    const auto receipts = rig.services->distribution->receipts(revision);
    return receipts.size() == 1 && receipts[0].nack == "the map of targets is full";
  }));
  ASSERT_TRUE(node.take_state());
  EXPECT_TRUE(rig.eventually([&] { return rig.services->distribution->receipts(revision)[0].acked; }));
}

}  // namespace distribution_policy_test
}  // namespace cordon::controller
