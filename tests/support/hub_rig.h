#pragma once
// A hub without TLS, and nodes of it whose links write when the test says so.

#include <deque>

#include "controller/distribution/hub.h"
#include "controller/distribution/receipt_ledger.h"
#include "tests/support/controller_rig.h"

namespace cordon::test {

class HeldLink final : public controller::NodeLink {
 public:
  void send(std::string frame) override { frames.push_back(std::move(frame)); }
  void finish() override {}
  void drop() override {}
  std::deque<std::string> frames;
};

struct HeldNode {
  explicit HeldNode(FakeDevice made) : device(std::move(made)), fake(0, &device) {}
  FakeDevice device;
  FakeNode fake;  ///< connected to nothing: it only keeps the state and signs
  std::shared_ptr<HeldLink> link = std::make_shared<HeldLink>();
  std::shared_ptr<controller::NodeSession> session;
};

struct HubRig {
  explicit HubRig(const Clock& clock = system_clock()) : rig(quick_limits(), clock) {
    rig.on_strand([&] {
      hub = std::make_shared<controller::Hub>(
          *rig.services, quick_limits(), must(controller::ReceiptLedger::open(rig.dir() / "of-this-test.db")),
          must(controller::PresharedSource::open(*rig.secrets)));
      hub->start();
      return 0;
    });
  }
  ~HubRig() {
    rig.on_strand([&] {
      hub->stop();
      hub.reset();
      return 0;
    });
  }

  void open(HeldNode& node) { open(node, node.fake.hello_message().hello()); }
  void open(HeldNode& node, const wire::Hello& hello) {
    rig.on_strand([&] {
      const controller::Peer peer{.remote = must(Endpoint::parse("192.0.2.7:4000")),
                                  .certificate_pem = node.device.chain_pem};
      node.session = hub->open(must(hub->admit(peer)), hello, peer, node.link);
      return 0;
    });
  }
  /// The frame that is on its way, which is written now; none when the session has nothing to say.
  std::optional<wire::ToNode> written(HeldNode& node) {
    return rig.on_strand([&]() -> std::optional<wire::ToNode> {
      if (node.link->frames.empty()) return std::nullopt;
      auto message = must(wire::decode_to_node(node.link->frames.front().substr(4)));
      node.link->frames.pop_front();
      node.session->written();
      return message;
    });
  }
  /// The same, taken and acked by the node.
  std::optional<wire::ToNode> taken(HeldNode& node) {
    auto message = written(node);
    if (message && node.fake.apply(*message)) receive(node, node.fake.ack());
    return message;
  }
  void receive(HeldNode& node, const wire::ToController& message) {
    rig.on_strand([&] {
      node.session->receive(message);
      return 0;
    });
  }
  void heartbeat(HeldNode& node) {
    wire::ToController message;
    message.mutable_heartbeat()->set_sent_boot_ns(1);
    receive(node, message);
  }

  ControllerRig rig;
  std::shared_ptr<controller::Hub> hub;
};

}  // namespace cordon::test
