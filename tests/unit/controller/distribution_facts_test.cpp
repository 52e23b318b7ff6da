// Facts on their way into the log: only what changed, one record of a device at a time, missing when nothing
// is told any more.
#include <gtest/gtest.h>

#include "controller/distribution/fact_intake.h"
#include "tests/support/log_runner.h"
#include "tests/support/memory_log_store.h"

namespace cordon::controller {
namespace {

using namespace test;
using namespace kinds;

const DeviceId kLaptop("laptop");
using Checks = std::set<std::string>;

class Facts : public ::testing::Test {
 protected:
  Facts() {
    must(log.propose(installation()));
    must(log.propose(join_token("t-1")));
    must(log.propose(enrolled("laptop", "t-1", 1)));
    apply("report_timeout = \"10m\"", "");
    restart();
  }
  void apply(const std::string& health, const std::string& trust) {
    must(log.propose(PolicyApplied{{{"p.toml", "[health]\n" + health + "\n[trust]\n" + trust + "\n"}}}));
  }
  void restart(RateLimitSpec records = {.burst = 100}) {
    intake = std::make_shared<FactIntake>(*log, clock, records);
  }
  const policy::Device& laptop() { return log->world().devices.at(kLaptop); }
  bool until_checks(const std::optional<Checks>& checks) {
    return log.until([&] { return laptop().checks == checks; });
  }
  /// Turns the strand until what is queued is recorded.
  Revision settled() {
    must(log.propose(TimeAdvanced{}));
    return log->world().revision;
  }
  std::size_t records_of_facts() {
    std::size_t count = 0;
    for (const auto& record : must(store.read(Revision(0), 1000))) count += record.kind == "device facts";
    return count;
  }

  TestAuthority authority;
  ManualClock clock;
  MemoryLogStore store;
  LogRunner log{store, authority, clock};
  std::shared_ptr<FactIntake> intake;
};

const Address kOffice = must(Address::parse("198.51.100.20"));
const Address kHome = must(Address::parse("203.0.113.9"));

TEST_F(Facts, AConnectionTellsTheSourceAndProvesTheKey) {
  intake->connected(kLaptop, kOffice);
  ASSERT_TRUE(log.until([&] { return laptop().source == kOffice; }));
  EXPECT_EQ(laptop().attestation, policy::Attestation::software);
  EXPECT_EQ(laptop().checks, std::nullopt);
  EXPECT_EQ(laptop().country, std::nullopt);
  intake->disconnected(kLaptop);
  intake->connected(kLaptop, kHome);
  ASSERT_TRUE(log.until([&] { return laptop().source == kHome; }));
}

TEST_F(Facts, AreRecordedOnlyWhenTheyChange) {
  intake->connected(kLaptop, kOffice);
  intake->report_facts(kLaptop, {"os_updates"});
  ASSERT_TRUE(until_checks(Checks{"os_updates"}));
  const std::size_t before = records_of_facts();
  for (int i = 0; i < 10; ++i) {
    intake->report_facts(kLaptop, {"os_updates"});
    intake->connected(kLaptop, kOffice);
    intake->check();
  }
  settled();
  EXPECT_EQ(records_of_facts(), before);
}

TEST_F(Facts, ThatChangeWhileARecordIsWrittenFollow) {
  intake->connected(kLaptop, kOffice);
  intake->report_facts(kLaptop, {"os_updates"});
  intake->report_facts(kLaptop, {});
  intake->report_facts(kLaptop, {"configuration"});
  ASSERT_TRUE(until_checks(Checks{"configuration"}));
  EXPECT_EQ(records_of_facts(), 2u) << "what was overtaken is not recorded";
}

TEST_F(Facts, ChecksAreMissingAfterTheTimeOfThePolicy) {
  intake->connected(kLaptop, kOffice);
  intake->report_facts(kLaptop, {"os_updates"});
  ASSERT_TRUE(until_checks(Checks{"os_updates"}));
  clock.advance(std::chrono::minutes(10) - Seconds(1));
  intake->check();
  settled();
  EXPECT_EQ(laptop().checks, Checks{"os_updates"});
  clock.advance(Seconds(1));
  intake->check();
  ASSERT_TRUE(until_checks(std::nullopt));
  EXPECT_EQ(laptop().source, kOffice) << "it is connected still";
}

TEST_F(Facts, TheSourceOfADeviceThatIsAwayIsMissingToo) {
  intake->connected(kLaptop, kOffice);
  ASSERT_TRUE(log.until([&] { return laptop().source == kOffice; }));
  clock.advance(std::chrono::hours(1));
  intake->disconnected(kLaptop);
  intake->check();
  settled();
  EXPECT_EQ(laptop().source, kOffice);
  clock.advance(std::chrono::minutes(10));
  intake->check();
  ASSERT_TRUE(log.until([&] { return laptop().source == std::nullopt; }));
}

TEST_F(Facts, AfterARestartDevicesHaveTheirTimeToTellAgain) {
  intake->connected(kLaptop, kOffice);
  intake->report_facts(kLaptop, {"os_updates"});
  ASSERT_TRUE(until_checks(Checks{"os_updates"}));
  clock.advance(std::chrono::hours(1));
  restart();
  intake->check();
  settled();
  EXPECT_EQ(laptop().checks, Checks{"os_updates"});
  clock.advance(std::chrono::minutes(10));
  intake->check();
  ASSERT_TRUE(until_checks(std::nullopt));
  ASSERT_TRUE(log.until([&] { return laptop().source == std::nullopt; }));
}

TEST_F(Facts, ADeviceThatKeepsChangingIsSlowedDown) {
  restart({.burst = 2, .per_second = 0.0001});
  for (int i = 0; i < 10; ++i) {
    intake->connected(kLaptop, i % 2 == 0 ? kOffice : kHome);
    settled();
  }
  EXPECT_EQ(records_of_facts(), 2u);
}

TEST_F(Facts, WhatCouldNotBeRecordedIsTriedAgain) {
  store.set_trouble(Error{.code = ErrorCode::unavailable, .what = "disk full", .hint = ""});
  intake->connected(kLaptop, kOffice);
  EXPECT_FALSE(log.propose(TimeAdvanced{}));
  store.set_trouble(std::nullopt);
  settled();
  EXPECT_EQ(laptop().source, std::nullopt);
  intake->check();
  EXPECT_TRUE(log.until([&] { return laptop().source == kOffice; }));
}

TEST_F(Facts, OfDevicesThatAreNotThereAreNothing) {
  intake->connected(DeviceId("nobody"), kOffice);
  intake->report_facts(DeviceId("nobody"), {"os_updates"});
  intake->connected(kLaptop, kOffice);
  must(log.propose(DeviceRemoved{kLaptop, ""}));
  intake->report_facts(kLaptop, {"os_updates"});
  intake->check();
  const Revision last = settled();
  intake->check();
  EXPECT_EQ(settled(), Revision(last.value + 1));
}

TEST_F(Facts, ASmallRiseOfHealthIsBelievedOnceItLasts) {
  apply("report_timeout = \"10m\"", "hysteresis = 0.3");
  intake->report_facts(kLaptop, {"os_updates"});
  ASSERT_TRUE(until_checks(Checks{"os_updates"}));
  intake->report_facts(kLaptop, {"os_updates", "application_updates"});  // 0.4 to 0.6
  settled();
  EXPECT_EQ(laptop().checks, Checks{"os_updates"});
  clock.advance(std::chrono::minutes(10));
  intake->report_facts(kLaptop, {"os_updates", "application_updates"});
  ASSERT_TRUE(until_checks(Checks{"os_updates", "application_updates"}));
  intake->report_facts(kLaptop, {"os_updates"});  // what gets worse counts at once
  ASSERT_TRUE(until_checks(Checks{"os_updates"}));
  intake->report_facts(kLaptop, {"os_updates", "antivirus_updates"});  // and so does a large rise
  ASSERT_TRUE(until_checks(Checks{"os_updates", "antivirus_updates"}));
}

}  // namespace
}  // namespace cordon::controller
