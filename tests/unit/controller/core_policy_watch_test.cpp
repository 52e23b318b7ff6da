// A policy that nobody confirms is taken back (I9): by time, and after a restart before anything is served.
#include "controller/core/policy_watch.h"

#include <gtest/gtest.h>

#include "controller/core/runtime.h"
#include "controller/log/log_store.h"
#include "controller/pki/authority.h"
#include "controller/secrets/secret_store.h"
#include "tests/support/log_runner.h"
#include "tests/support/memory_log_store.h"
#include "tests/support/temp_dir.h"

namespace cordon::controller {
namespace core_policy_watch_test {

using namespace test;
using namespace kinds;

PolicyApplied policy(const std::string& segment, Timestamp confirm_by) {
  return {{{"p.toml", "[segments." + segment + "]\nmembers = [\"tag:web\"]\n"}}, confirm_by, "2025b"};
}

class Watch : public ::testing::Test {
 protected:
  Watch() {
    must(log.propose(installation()));
    must(log.propose(kinds::FormatRaised{}));
    watch->start();
  }
  ~Watch() override { watch->stop(); }

  /// Waits 20 ms: the watch sleeps by the machine's clock for what is left by ours.
  Revision apply() {
    return must(log.propose(policy("web", clock.now() + std::chrono::milliseconds(20)))).record.revision;
  }
  /// Turns the strand for longer than the watch sleeps.
  void turn() {
    int turns = 0;
    log.until([&] { return ++turns > 60; });
  }

  TestAuthority authority;
  ManualClock clock;
  MemoryLogStore store;
  LogRunner log{store, authority, clock};
  std::shared_ptr<PolicyWatch> watch = std::make_shared<PolicyWatch>(*log, clock, log.executor());
};

TEST_F(Watch, TakesBackWhatNobodyConfirmed) {
  const Revision revision = apply();
  EXPECT_EQ(log->world().policy_revision, revision);
  clock.advance(std::chrono::milliseconds(20));
  ASSERT_TRUE(log.until([&] { return !log->world().pending; }));
  EXPECT_EQ(log->world().policy_revision, Revision(0));
  const PolicyEntry* entry = log->policies().find(revision);
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(state_of(*entry, log->world()), "rolled back");
  EXPECT_EQ(entry->undone->actor, "controller");
  EXPECT_EQ(entry->reason, "not confirmed in time");
}

TEST_F(Watch, LeavesWhatIsConfirmed) {
  const Revision revision = apply();
  must(log.propose(PolicyConfirmed{revision}));
  clock.advance(std::chrono::hours(1));
  turn();
  EXPECT_EQ(log->world().policy_revision, revision);
}

TEST_F(Watch, TriesAgainWhenTheLogCantBeWritten) {
  apply();
  store.set_trouble(Error{.code = ErrorCode::unavailable, .what = "disk full", .hint = ""});
  clock.advance(std::chrono::milliseconds(20));
  turn();
  EXPECT_TRUE(log->world().pending);
  store.set_trouble(std::nullopt);
  EXPECT_TRUE(log.until([&] { return !log->world().pending; }));
}

TEST_F(Watch, TellsOfOtherTimeZonesWhereHoursDependOnThem) {
  struct Zones final : TimeZones {
    TimeZonePtr find(std::string_view name) const override { return system_time_zones().find(name); }
    std::vector<std::string> names() const override { return {}; }
    std::string version() const override { return "2026a"; }
  } newer;
  PolicyApplied kind = policy("web", clock.now() + Seconds(60));
  must(log.propose(PolicyConfirmed{must(log.propose(kind)).record.revision}));
  EXPECT_EQ(other_time_zones(*log, newer), "");
  kind.files[0].text +=
      "[segments.web.services]\nsite = [\"tcp/443\"]\n[[allow]]\nname = \"w\"\nfrom = { tags = [\"web\"] }\n"
      "to = [\"web/site\"]\nwhen = { hours = \"Mon-Fri 08:00-18:00\", timezone = \"Asia/Taipei\" }\n";
  must(log.propose(kind));
  EXPECT_NE(other_time_zones(*log, newer).find("time zones of 2025b, here they are of 2026a"),
            std::string::npos);
}

TEST(OverdueRollback, IsDueFromTheMomentOn) {
  policy::World world;
  world.policy_revision = Revision(7);
  EXPECT_FALSE(overdue_rollback(world, kStart));
  world.pending = {.confirm_by = kStart};
  EXPECT_FALSE(overdue_rollback(world, kStart - std::chrono::microseconds(1)));
  ASSERT_TRUE(overdue_rollback(world, kStart));
  EXPECT_EQ(overdue_rollback(world, kStart)->revision, Revision(7));
}

/// A controller that was killed while a policy waited.
TEST(AfterARestart, AnUnconfirmedPolicyIsTakenBackBeforeAnythingIsServed) {
  const TempDir dir;
  ControllerConfig config;
  config.name = "c1";
  config.trust_domain = "acme.example";
  config.state_directory = dir / "state";
  config.run_directory = dir / "run";
  config.listen_nodes = must(Endpoint::parse("127.0.0.1:0"));
  config.listen_api = must(Endpoint::parse("127.0.0.1:0"));
  config.overlay_v4 = must(Prefix::parse("100.64.0.0/10"));
  const auto state = config.state_directory;
  std::filesystem::create_directories(state);
  Revision revision;
  {
    const auto secrets = must(open_secret_store(state / "secrets.db", state / "data.key"));
    const auto authority = must(open_authority({.trust_domain = "acme.example", .controller_name = "c1"},
                                               *secrets, system_clock().now()));
    const auto store = must(open_log_store(state / "log.db"));
    LogRunner log(*store, {.key = authority->server_key(), .chain_pem = authority->server_chain_pem()},
                  authority->trust_bundle_pem(), system_clock());
    must(log.propose(installation()));
    must(log.propose(kinds::FormatRaised{}));
    must(log.propose(PolicyApplied{policy("kept", {}).files}));
    revision = must(log.propose(policy("lost", system_clock().now() + std::chrono::milliseconds(200))))
                   .record.revision;
    ASSERT_TRUE(log.until([&] { return system_clock().now() > log->world().pending->confirm_by; }));
  }
  const auto controller = must(start_controller(config));
  const auto store = must(open_log_store(state / "log.db"));
  const auto records = must(store->read(revision, 10));
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].kind, "policy rolled back");
  EXPECT_EQ(records[0].actor, "controller");
  controller->stop();
  EXPECT_TRUE(controller->run());
}

}  // namespace core_policy_watch_test
}  // namespace cordon::controller
