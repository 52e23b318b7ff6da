// Sessions without traffic are closed (POLICY.md, `[sessions] idle`).
#include <gtest/gtest.h>

#include "controller/distribution/idle_watch.h"
#include "tests/support/controller_rig.h"
#include "tests/support/log_runner.h"

namespace cordon::controller {
namespace distribution_idle_test {

using namespace test;
using std::chrono::hours;
using std::chrono::minutes;

const SessionId kFirst("s-1"), kSecond("s-2");
const DeviceId kLaptop("laptop");

class Idle : public ::testing::Test {
 protected:
  Idle() {
    must(log.propose(installation()));
    must(log.propose(kinds::FormatRaised{}));
    must(log.propose(join_token("t-1")));
    must(log.propose(enrolled("laptop", "t-1", 1)));
    must(log.propose(user("u-1", "trader")));
    open(kFirst, 1000);
    restart();
  }

  void open(const SessionId& id, std::uint32_t uid) {
    must(log.propose(session(id.value, "u-1", "laptop", uid, clock.now() + hours(12))));
  }
  /// Another process with the same log.
  void restart() { watch = std::make_shared<IdleWatch>(*log, clock); }
  void set_idle(const std::string& idle) {
    must(log.propose(kinds::PolicyApplied{{{"p.toml", "[sessions]\nidle = \"" + idle + "\"\n"}}, {}, ""}));
  }
  /// As the hub does, for as long; then what was proposed is folded.
  void pass(minutes by) {
    for (auto left = by; left > minutes(0); left -= minutes(1)) {
      clock.advance(minutes(1));
      watch->check([this](const DeviceId&) { return cannot_tell; });
    }
    const auto marker = join_token("after-" + std::to_string(++markers));
    (void)log.propose(marker);  // answered once all before it are; it fails where the log can't be written
  }
  bool is_open(const SessionId& id) { return log->world().sessions.contains(id); }
  bool is_closed(const SessionId& id) {
    return log.until([&] { return !is_open(id); });
  }

  TestAuthority authority;
  ManualClock clock;
  MemoryLogStore store;
  LogRunner log{store, authority, clock};
  std::shared_ptr<IdleWatch> watch;
  int markers = 0;
  bool cannot_tell = false;
};

TEST_F(Idle, ASessionWithoutTrafficIsClosedAfterAnHour) {
  pass(minutes(60));
  EXPECT_TRUE(is_open(kFirst));
  pass(minutes(1));
  EXPECT_TRUE(is_closed(kFirst));
  pass(minutes(10));
  auto records = must(store.read(Revision(0), 100));
  std::erase_if(records, [](const Record& record) { return record.kind != "session closed"; });
  ASSERT_EQ(records.size(), 1u) << "once";
  EXPECT_EQ(records[0].actor, "controller");
  EXPECT_NE(records[0].payload.find(R"("reason":"idle")"), std::string::npos) << records[0].payload;
}

TEST_F(Idle, TrafficKeepsASession) {
  for (int i = 0; i < 8; ++i) {
    pass(minutes(50));
    watch->heard(kLaptop, kFirst, Seconds(0));
  }
  ASSERT_TRUE(is_open(kFirst));
  pass(minutes(60));
  EXPECT_TRUE(is_open(kFirst));
  pass(minutes(1));
  EXPECT_TRUE(is_closed(kFirst));
}

TEST_F(Idle, CountsFromTheLastPacketAndNotFromWhenItWasTold) {
  pass(minutes(50));
  watch->heard(kLaptop, kFirst, minutes(45));
  watch->heard(kLaptop, kFirst, hours(30));  // older news
  pass(minutes(15));
  EXPECT_TRUE(is_open(kFirst));
  pass(minutes(1));
  EXPECT_TRUE(is_closed(kFirst));
}

TEST_F(Idle, SilenceBeforeItWasOpenedDoesNotCount) {
  pass(minutes(30));
  open(kSecond, 1001);
  watch->heard(kLaptop, kSecond, hours(2));
  pass(minutes(59));
  EXPECT_TRUE(is_closed(kFirst));
  EXPECT_TRUE(is_open(kSecond));
  pass(minutes(2));
  EXPECT_TRUE(is_closed(kSecond));
}

TEST_F(Idle, NobodyElsesNodeKeepsASession) {
  pass(minutes(50));
  watch->heard(DeviceId("stranger"), kFirst, Seconds(0));
  watch->heard(kLaptop, kSecond, Seconds(0));
  pass(minutes(11));
  EXPECT_TRUE(is_closed(kFirst));
}

TEST_F(Idle, ThePolicyInForceSaysHowLong) {
  set_idle("15m");
  pass(minutes(15));
  EXPECT_TRUE(is_open(kFirst));
  set_idle("2h");
  pass(minutes(105));
  EXPECT_TRUE(is_open(kFirst));
  set_idle("15m");
  pass(minutes(1));
  EXPECT_TRUE(is_closed(kFirst));
}

TEST_F(Idle, AfterARestartTheCountStartsAnew) {
  pass(minutes(50));
  restart();
  pass(minutes(60));
  EXPECT_TRUE(is_open(kFirst));
  pass(minutes(1));
  EXPECT_TRUE(is_closed(kFirst));
}

TEST_F(Idle, SessionsOfNodesThatCannotTellStayWhileTheseAreConnected) {
  cannot_tell = true;
  pass(hours(5));
  EXPECT_TRUE(is_open(kFirst));
  cannot_tell = false;
  pass(minutes(122));
  EXPECT_TRUE(is_closed(kFirst));
}

TEST_F(Idle, IsTriedAgainWhenTheLogCantBeWritten) {
  store.set_trouble(Error{.code = ErrorCode::unavailable, .what = "disk full", .hint = ""});
  pass(minutes(70));
  EXPECT_TRUE(is_open(kFirst));
  store.set_trouble(std::nullopt);
  EXPECT_TRUE(log.until([&] {
    pass(minutes(1));
    return !is_open(kFirst);
  }));
}

/// The machine's clock and what a test adds to it.
class LaterClock final : public Clock {
 public:
  Timestamp now() const override { return system_clock().now() + minutes(added_); }
  BootNs boot_ns() const override {
    return system_clock().boot_ns() + static_cast<BootNs>(added_) * 60'000'000'000;
  }
  void add(minutes by) { added_ += static_cast<int>(by.count()); }

 private:
  std::atomic<int> added_ = 0;
};

DistributionLimits limits_that_look_often() {
  DistributionLimits limits = quick_limits();
  limits.idle_least = std::chrono::milliseconds(80);
  return limits;
}

class IdleNodes : public ::testing::Test {
 protected:
  IdleNodes() {
    rig.add(user("u-1", "trader"));
    rig.add(session("s-1", "u-1", "laptop", 1000, clock.now() + hours(12)));
  }
  bool connect(FakeNode& node, bool tells) {
    auto hello = node.hello_message();
    if (tells) hello.mutable_hello()->add_features("activity/1");
    return node.send(hello) && node.receive_kind(wire::ToNode::kWelcome);
  }
  /// As a heartbeat tells it; when this returns it was taken.
  bool tell(FakeNode& node, std::uint32_t silent_s) {
    wire::ToController message;
    auto& told = *message.mutable_heartbeat()->add_sessions();
    told.set_session("s-1");
    told.set_silent_s(silent_s);
    return node.send(message) && node.receive_kind(wire::ToNode::kHeartbeat);
  }
  bool is_open() {
    return rig.on_strand([&] { return rig.log->world().sessions.contains(kFirst); });
  }
  /// Lets the hub look a few times.
  void look() { std::this_thread::sleep_for(std::chrono::milliseconds(200)); }

  LaterClock clock;
  ControllerRig rig{limits_that_look_often(), clock};
  FakeDevice laptop = rig.add_device("laptop");
};

TEST_F(IdleNodes, HeartbeatsTellWhatKeepsASession) {
  FakeNode node(rig.port(), &laptop);
  ASSERT_TRUE(connect(node, true));
  clock.add(minutes(50));
  ASSERT_TRUE(tell(node, 60));
  clock.add(minutes(50));
  look();
  EXPECT_TRUE(is_open());
  ASSERT_TRUE(tell(node, 51 * 60));
  clock.add(minutes(10));
  EXPECT_TRUE(rig.eventually([&] { return !rig.log->world().sessions.contains(kFirst); }));
}

TEST_F(IdleNodes, ANodeOfAnEarlierReleaseKeepsItsSessionsWhileItIsThere) {
  {
    FakeNode node(rig.port(), &laptop);
    ASSERT_TRUE(connect(node, false));
    clock.add(minutes(90));
    look();
    EXPECT_TRUE(is_open());
  }
  const auto away = [&] { return !rig.services->distribution->nodes().at(0).connected; };
  ASSERT_TRUE(rig.eventually(away));
  clock.add(minutes(90));
  EXPECT_TRUE(rig.eventually([&] { return !rig.log->world().sessions.contains(kFirst); }));
}

}  // namespace distribution_idle_test
}  // namespace cordon::controller
