// 10,000 sessions opened and closed leave a controller's memory and descriptors as they were: world, engine,
// hub and the feeds of two nodes that hold their states. The log stays; its copy in memory here is cut.

#include <gtest/gtest.h>
#include <malloc.h>

#include <filesystem>

#include "controller/distribution/hub.h"
#include "controller/distribution/receipt_ledger.h"
#include "tests/support/controller_rig.h"

namespace cordon::controller {
namespace leaks_test {

using namespace test;

// More than what is kept on purpose: the last 4096 sessions that were opened (hub.cpp).
constexpr int kWarmUp = 5'000, kSessions = 10'000, kAtOnce = 50, kAnHour = 1'000;

constexpr const char* kTradersToLedger = R"(
[groups]
traders = { users = ["trader@acme.example"] }
[segments.settlement]
members = ["tag:settlement"]
[segments.settlement.services]
ledger = ["tcp/5432"]
[[allow]]
name = "traders-to-ledger"
from = { groups = ["traders"] }
to = ["settlement/ledger"]
)";

/// Whose its two addresses were is kept for a day after its end, to name late flow reports (address_book.h);
/// here by two hubs, the rig's own too.
constexpr std::ptrdiff_t kNamesOfASession = 1'200;

/// Goes on an hour now and then: what is kept for a time on purpose (addresses until the leases are over)
/// goes.
class JumpingClock final : public Clock {
 public:
  Timestamp now() const override { return system_clock().now() + std::chrono::minutes(jumped_); }
  BootNs boot_ns() const override { return system_clock().boot_ns(); }
  void jump() { jumped_ += 65; }

 private:
  std::atomic<int> jumped_ = 0;
};

class HeldLink final : public NodeLink {
 public:
  void send(std::string frame) override { frames.push_back(std::move(frame)); }
  void finish() override {}
  void drop() override {}
  std::deque<std::string> frames;
};

struct Node {
  explicit Node(FakeDevice made) : device(std::move(made)), fake(0, &device) {}
  FakeDevice device;
  FakeNode fake;  ///< connected to nothing: it only keeps the state and signs
  std::shared_ptr<HeldLink> link = std::make_shared<HeldLink>();
  std::shared_ptr<NodeSession> session;
};

class Leaks : public testing::Test {
 protected:
  Leaks() {
    rig.on_strand([&] {
      hub = std::make_shared<Hub>(*rig.services, quick_limits(),
                                  must(ReceiptLedger::open(rig.dir() / "of-this-test.db")),
                                  must(PresharedSource::open(*rig.secrets)));
      hub->start();
      return 0;
    });
    rig.add(user("u-trader", "trader@acme.example"));
    rig.apply_policy(kTradersToLedger);
    for (Node* node : {&ledger, &trader}) open(*node);
  }
  ~Leaks() override {
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
  /// One frame of what a node is told, taken and acked; false: it is told nothing.
  bool take(Node& node) {
    const auto message = rig.on_strand([&]() -> std::optional<wire::ToNode> {
      if (node.link->frames.empty()) return std::nullopt;
      auto out = must(wire::decode_to_node(node.link->frames.front().substr(4)));
      node.link->frames.pop_front();
      node.session->written();
      return out;
    });
    if (!message) return false;
    if (node.fake.apply(*message))
      rig.on_strand([&] {
        node.session->receive(node.fake.ack());
        return 0;
      });
    return true;
  }
  void heartbeat(Node& node) {
    wire::ToController message;
    message.mutable_heartbeat()->set_sent_boot_ns(1);
    rig.on_strand([&] {
      node.session->receive(message);
      return 0;
    });
  }
  /// Turns both nodes until ledger's principals are `sessions`, and everything is acked.
  void settle(std::size_t sessions) {
    const auto principals = [](Node& node) {
      return std::ranges::count_if(node.fake.state().entries, [](const auto& entry) {
        return std::holds_alternative<policy::LocalSessionKey>(entry.first);
      });
    };
    for (int idle = 0; idle < 3 || principals(trader) != static_cast<std::ptrdiff_t>(sessions); ++idle) {
      while (take(ledger) || take(trader)) idle = 0;
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      ASSERT_LT(idle, 20'000) << "the nodes were not told";
    }
  }
  /// All at once, committed in few batches.
  template <class Kind>
  void propose(const std::vector<Kind>& kinds) {
    std::atomic<std::size_t> done = 0;
    rig.post([&] {
      for (const Kind& kind : kinds)
        rig.log->propose(kinds::encode("root@local", kind), [&](const Result<Committed>& committed) {
          EXPECT_TRUE(committed) << committed.error().message();
          ++done;
        });
    });
    while (done < kinds.size()) std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  void run(int sessions) {
    for (int left = sessions; left > 0; left -= kAtOnce) {
      if (left % kAnHour == 0) clock.jump();
      std::vector<kinds::SessionOpened> opened;
      std::vector<kinds::SessionClosed> closed;
      for (int i = 0; i < kAtOnce; ++i) {
        const std::string id = "s-" + std::to_string(++number_);
        auto one = session(id, "u-trader", "trader", 2000 + static_cast<std::uint32_t>(i),
                           clock.now() + std::chrono::minutes(30));
        one.session.authenticated_at = clock.now();
        opened.push_back(std::move(one));
        closed.push_back({.session = SessionId(id), .reason = "signed out"});
      }
      for (Node* node : {&ledger, &trader}) heartbeat(*node);
      propose(opened);
      settle(kAtOnce);
      propose(closed);
      settle(0);
      if (HasFatalFailure() || HasNonfatalFailure()) return;
    }
    clock.jump();
    rig.add(kinds::TimeAdvanced{});
    cut_log();
  }
  void cut_log() {
    rig.store.edit([](auto& records, auto& heads) {
      records.erase(records.begin(), records.end() - 1);
      heads.erase(heads.begin(), heads.end() - 1);
      records.shrink_to_fit();
      heads.shrink_to_fit();
    });
  }
  std::size_t heap() {
    return rig.on_strand([] { return ::mallinfo2().uordblks; });
  }
  static std::size_t descriptors() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
    return count;
  }

  JumpingClock clock;
  ControllerRig rig{quick_limits(), clock};
  std::shared_ptr<Hub> hub;
  Node ledger{rig.add_device("ledger", {"settlement"})}, trader{rig.add_device("trader", {"laptop"})};
  int number_ = 0;
};

TEST_F(Leaks, TenThousandSessionsLeaveAControllerAsItWas) {
  run(kWarmUp);
  const std::size_t heap_before = heap(), descriptors_before = descriptors();
  run(kSessions);
  EXPECT_TRUE(rig.on_strand([&] { return rig.log->world().sessions.empty(); }));
  EXPECT_EQ(descriptors(), descriptors_before);
  const auto grown = static_cast<std::ptrdiff_t>(heap() - heap_before);
  EXPECT_LT(grown, kNamesOfASession * kSessions) << "bytes";
}

}  // namespace leaks_test
}  // namespace cordon::controller
