// In which order a session tells its node things, on a link that writes when the test says so.

#include <gtest/gtest.h>

#include "tests/support/hub_rig.h"

namespace cordon::controller {
namespace distribution_order_test {

using namespace test;
using wire::ToNode;

std::vector<policy::Change> changes_of(const wire::Delta& delta) {
  std::vector<policy::Change> out;
  for (const auto& entry : delta.removals()) out.push_back(must(wire::decode_entry(entry, true)));
  for (const auto& entry : delta.upserts()) out.push_back(must(wire::decode_entry(entry, false)));
  return out;
}

struct DistributionOrder : testing::Test, HubRig {
  using Node = HeldNode;
  /// Everything that is to be said now, taken and acked.
  std::vector<ToNode> settle(Node& node) {
    std::vector<ToNode> all;
    while (auto message = taken(node)) all.push_back(std::move(*message));
    return all;
  }
};

TEST_F(DistributionOrder, EndpointsComeBeforeThePeersTheyBelongTo) {
  Node ledger(rig.add_device("ledger", {"settlement"}));
  Node web(rig.add_device("web", {"web"}));
  rig.apply_policy(kWebToLedger);
  open(ledger);
  settle(ledger);
  open(web);
  const auto said = settle(web);
  ASSERT_GE(said.size(), 4u);
  EXPECT_TRUE(said[0].has_welcome());
  ASSERT_TRUE(said[1].has_endpoints()) << "before the state";
  EXPECT_EQ(said[1].endpoints().peers(0).device(), "ledger");
  EXPECT_TRUE(said[1].endpoints().peers(0).begin()) << "ledger holds web already";
  EXPECT_TRUE(said[2].has_begin());
  EXPECT_TRUE(web.fake.state().entries.contains(policy::PeerKey{DeviceId("ledger")}));
}

TEST_F(DistributionOrder, EndpointsComeBeforePeersOfADeltaToo) {
  Node ledger(rig.add_device("ledger", {"settlement"}));
  Node web(rig.add_device("web", {"web"}));
  open(ledger);
  open(web);
  settle(ledger);
  settle(web);
  rig.apply_policy(kWebToLedger);
  ASSERT_TRUE(rig.eventually([&] { return !ledger.link->frames.empty(); }));
  settle(ledger);
  ASSERT_TRUE(rig.eventually([&] { return !web.link->frames.empty(); })) << "once its target has acked";
  bool endpoint_known = false, came = false;
  for (const ToNode& message : settle(web)) {
    endpoint_known =
        endpoint_known || (message.has_endpoints() && message.endpoints().peers(0).device() == "ledger");
    for (const policy::Change& change : changes_of(message.delta())) {
      if (change.key != policy::Key(policy::PeerKey{DeviceId("ledger")})) continue;
      came = true;
      EXPECT_TRUE(endpoint_known);
    }
  }
  EXPECT_TRUE(came);
}

TEST_F(DistributionOrder, TheSourceOfNewFlowsBeginsTheHandshakeOnceItsTargetHoldsIt) {
  Node ledger(rig.add_device("ledger", {"settlement"}));
  Node web(rig.add_device("web", {"web"}));
  open(ledger);
  open(web);
  settle(ledger);
  settle(web);
  rig.apply_policy(kWebToLedger);
  ASSERT_TRUE(rig.eventually([&] { return !ledger.link->frames.empty(); }));
  for (const ToNode& message : settle(ledger))
    for (const auto& peer : message.endpoints().peers()) EXPECT_FALSE(peer.begin()) << peer.device();
  ASSERT_TRUE(rig.eventually([&] { return !web.link->frames.empty(); }));
  bool begins = false;
  for (const ToNode& message : settle(web)) {
    for (const auto& peer : message.endpoints().peers()) begins = begins || peer.begin();
    for (const policy::Change& change : changes_of(message.delta()))
      if (change.key == policy::Key(policy::PeerKey{DeviceId("ledger")})) {
        EXPECT_TRUE(begins) << "told ahead of the peer";
      }
  }
  EXPECT_TRUE(begins);
}

TEST_F(DistributionOrder, WhatTakesAccessAwayComesBeforeAnswersThatWait) {
  Node ledger(rig.add_device("ledger", {"settlement"}));
  Node web(rig.add_device("web", {"web"}));
  rig.apply_policy(kWebToLedger);
  open(ledger);
  settle(ledger);
  open(web);
  settle(web);
  for (int i = 0; i < 3; ++i) heartbeat(web);  // the first is on its way, two wait
  rig.apply_policy("");
  rig.on_strand([] { return 0; });  // the hub tells its sessions after the batch
  ASSERT_TRUE(written(web)->has_heartbeat());
  const auto cut = written(web);
  ASSERT_TRUE(cut && cut->has_delta()) << "before the answers";
  EXPECT_GT(cut->delta().removals_size(), 0);
  EXPECT_TRUE(written(web)->has_heartbeat());
  EXPECT_TRUE(written(web)->has_heartbeat());
}

}  // namespace distribution_order_test
}  // namespace cordon::controller
