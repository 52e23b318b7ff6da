// 10,000 sessions opened and closed leave a controller's memory and descriptors as they were: world, engine,
// hub and the feeds of two nodes that hold their states. The log stays; its copy in memory here is cut.

#include <gtest/gtest.h>
#include <malloc.h>

#include <filesystem>

#include "tests/support/hub_rig.h"

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

/// So that the rig has it before it has anything else.
struct ClockFirst {
  JumpingClock clock;
};

class Leaks : public testing::Test, ClockFirst, protected HubRig {
 protected:
  Leaks() : HubRig(clock) {
    rig.add(user("u-trader", "trader@acme.example"));
    rig.apply_policy(kTradersToLedger);
    for (HeldNode* node : {&ledger, &trader}) open(*node);
  }

  /// Turns both nodes until ledger's principals are `sessions`, and everything is acked.
  void settle(std::size_t sessions) {
    const auto principals = [](HeldNode& node) {
      return std::ranges::count_if(node.fake.state().entries, [](const auto& entry) {
        return std::holds_alternative<policy::LocalSessionKey>(entry.first);
      });
    };
    for (int idle = 0; idle < 3 || principals(trader) != static_cast<std::ptrdiff_t>(sessions); ++idle) {
      while (taken(ledger) || taken(trader)) idle = 0;
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
      for (HeldNode* node : {&ledger, &trader}) heartbeat(*node);
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

  HeldNode ledger{rig.add_device("ledger", {"settlement"})}, trader{rig.add_device("trader", {"laptop"})};
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
