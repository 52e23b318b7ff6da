// In which order a session tells its node things, on a link that writes when the test says so.

#include <gtest/gtest.h>

#include "controller/distribution/hub.h"
#include "controller/distribution/receipt_ledger.h"
#include "tests/support/controller_rig.h"

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

class HeldLink final : public NodeLink {
 public:
  void send(std::string frame) override { frames.push_back(std::move(frame)); }
  void finish() override {}
  void drop() override {}
  std::deque<std::string> frames;
};

struct DistributionOrder : testing::Test {
  struct Node {
    explicit Node(FakeDevice made) : device(std::move(made)), fake(0, &device) {}
    FakeDevice device;
    FakeNode fake;  ///< connected to nothing: it only keeps the state and signs
    std::shared_ptr<HeldLink> link = std::make_shared<HeldLink>();
    std::shared_ptr<NodeSession> session;
  };

  DistributionOrder() {
    rig.on_strand([&] {
      hub = std::make_shared<Hub>(*rig.services, quick_limits(),
                                  must(ReceiptLedger::open(rig.dir() / "of-this-test.db")),
                                  must(PresharedSource::open(*rig.secrets)));
      hub->start();
      return 0;
    });
  }
  ~DistributionOrder() override {
    rig.on_strand([&] {
      hub->stop();
      hub.reset();
      return 0;
    });
  }

  void open(Node& node) {
    rig.on_strand([&] {
      const Peer peer{.remote = must(Endpoint::parse("192.0.2.7:4000")),
                      .certificate_pem = node.device.chain_pem};
      node.session = hub->open(must(hub->admit(peer)), node.fake.hello_message().hello(), peer, node.link);
      return 0;
    });
  }
  /// The frame that is on its way, which is written now; none when the session has nothing to say.
  std::optional<ToNode> written(Node& node) {
    return rig.on_strand([&]() -> std::optional<ToNode> {
      if (node.link->frames.empty()) return std::nullopt;
      auto message = must(wire::decode_to_node(node.link->frames.front().substr(4)));
      node.link->frames.pop_front();
      node.session->written();
      return message;
    });
  }
  /// Everything that is to be said now, taken and acked.
  std::vector<ToNode> settle(Node& node) {
    std::vector<ToNode> all;
    while (auto message = written(node)) {
      if (node.fake.apply(*message)) receive(node, node.fake.ack());
      all.push_back(std::move(*message));
    }
    return all;
  }
  void receive(Node& node, const wire::ToController& message) {
    rig.on_strand([&] {
      node.session->receive(message);
      return 0;
    });
  }
  void heartbeat(Node& node) {
    wire::ToController message;
    message.mutable_heartbeat()->set_sent_boot_ns(1);
    receive(node, message);
  }

  ControllerRig rig;
  std::shared_ptr<Hub> hub;
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
