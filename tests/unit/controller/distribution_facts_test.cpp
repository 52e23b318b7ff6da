// Facts on their way into the log: only what changed, one record of a device at a time, missing when nothing
// is told any more.
#include <gtest/gtest.h>

#include "base/files.h"
#include "controller/core/places.h"
#include "controller/distribution/fact_intake.h"
#include "policy/evaluate.h"
#include "tests/support/controller_rig.h"
#include "tests/support/country_database.h"
#include "tests/support/log_runner.h"
#include "tests/support/memory_log_store.h"
#include "tests/support/temp_dir.h"

namespace cordon::controller {
namespace distribution_facts_test {

using namespace test;
using namespace kinds;

const DeviceId kLaptop("laptop");
using Checks = std::set<std::string>;

const Address kOffice = must(Address::parse("198.51.100.20"));
const Address kHome = must(Address::parse("203.0.113.9"));

std::unique_ptr<Places> places_of(const CountryDatabase& database) {
  const TempDir dir;
  must(write_file(dir / "countries.mmdb", database.bytes()));
  return must(Places::open(dir / "countries.mmdb"));
}

/// What the facts of devices say, as the log holds them.
std::vector<DeviceFacts> recorded_facts(LogStore& store) {
  std::vector<DeviceFacts> out;
  for (const auto& record : must(store.read(Revision(0), 1000))) {
    const auto kind = must(decode(record.kind, record.version, record.payload));
    if (const auto* facts = std::get_if<DeviceFacts>(&kind)) out.push_back(*facts);
  }
  return out;
}

/// Machines tagged "web" may reach those tagged "ledger" as long as they are seen from Taiwan.
constexpr const char* kFromTaiwan = R"(
[segments.web]
members = ["tag:web"]
[segments.ledger]
members = ["tag:ledger"]
[segments.ledger.services]
db = ["tcp/5432"]
[[allow]]
name = "from-taiwan"
from = { segments = ["web"] }
to   = ["ledger/db"]
when = { countries = ["TW"] }
)";

bool may_reach_ledger(const policy::World& world, const DeviceId& device) {
  const policy::Query query{.principal = device, .target = DeviceId("ledger"), .port = 5432};
  return policy::evaluate(world, query, world.at).verdict == policy::Verdict::allow;
}

class Facts : public ::testing::Test {
 protected:
  Facts() {
    must(log.propose(installation()));
    must(log.propose(kinds::FormatRaised{}));
    must(log.propose(join_token("t-1")));
    must(log.propose(enrolled("laptop", "t-1", 1)));
    apply("report_timeout = \"10m\"", "");
    restart();
  }
  void apply(const std::string& health, const std::string& trust) {
    must(log.propose(PolicyApplied{{{"p.toml", "[health]\n" + health + "\n[trust]\n" + trust + "\n"}}}));
  }
  void restart(RateLimitSpec records = {.burst = 100}) {
    intake = std::make_shared<FactIntake>(*log, clock, records, places.get());
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
  std::size_t records_of_facts() { return recorded_facts(store).size(); }

  TestAuthority authority;
  ManualClock clock;
  MemoryLogStore store;
  LogRunner log{store, authority, clock};
  std::unique_ptr<Places> places;
  std::shared_ptr<FactIntake> intake;
};

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

TEST_F(Facts, ACountryIsThatOfTheSourceWithTheDatabasesVersion) {
  places = places_of(CountryDatabase("Test-Country", 1).add("198.51.100.0/24", "TW"));
  restart();
  intake->connected(kLaptop, kOffice);
  ASSERT_TRUE(log.until([&] { return laptop().country == "TW"; }));
  EXPECT_EQ(laptop().source, kOffice);
  intake->connected(kLaptop, kHome);
  ASSERT_TRUE(log.until([&] { return laptop().source == kHome; }));
  EXPECT_EQ(laptop().country, std::nullopt) << "the database doesn't know it";
  intake->connected(kLaptop, kOffice);
  ASSERT_TRUE(log.until([&] { return laptop().country == "TW"; }));
  for (const DeviceFacts& facts : recorded_facts(store)) EXPECT_EQ(facts.country_database, "Test-Country 1");
  intake->disconnected(kLaptop);
  clock.advance(std::chrono::minutes(10));
  intake->check();
  ASSERT_TRUE(log.until([&] { return !laptop().source; }));
  EXPECT_EQ(laptop().country, std::nullopt) << "it goes with the source";
  EXPECT_EQ(recorded_facts(store).back().country_database, "");
}

TEST_F(Facts, AfterARestartTheCountryIsAskedAnewAtTheNextConnection) {
  places = places_of(CountryDatabase("Test-Country", 1).add("198.51.100.0/24", "TW"));
  restart();
  intake->connected(kLaptop, kOffice);
  ASSERT_TRUE(log.until([&] { return laptop().country == "TW"; }));
  places = places_of(CountryDatabase("Test-Country", 2).add("198.51.100.0/24", "JP"));
  restart();
  intake->check();
  settled();
  EXPECT_EQ(laptop().country, "TW");
  intake->connected(kLaptop, kOffice);
  ASSERT_TRUE(log.until([&] { return laptop().country == "JP"; }));
  EXPECT_EQ(recorded_facts(store).back().country_database, "Test-Country 2");
  const std::size_t before = records_of_facts();
  places = places_of(CountryDatabase("Test-Country", 3).add("198.51.100.0/24", "JP"));
  restart();
  intake->connected(kLaptop, kOffice);
  settled();
  EXPECT_EQ(records_of_facts(), before) << "another version that says the same changes nothing";
  places.reset();
  restart();
  intake->connected(kLaptop, kOffice);
  ASSERT_TRUE(log.until([&] { return laptop().country == std::nullopt; }));
  EXPECT_EQ(laptop().source, kOffice);
}

TEST_F(Facts, ACountryMakesARuleHold) {
  must(log.propose(enrolled("ledger", "t-1", 2)));
  must(log.propose(DeviceTagged{DeviceId("ledger"), {"ledger"}}));
  must(log.propose(PolicyApplied{{{"p.toml", kFromTaiwan}}}));
  places = places_of(CountryDatabase().add("198.51.100.0/24", "TW").add("203.0.113.0/24", "JP"));
  restart();
  EXPECT_FALSE(may_reach_ledger(log->world(), kLaptop));
  intake->connected(kLaptop, kOffice);
  EXPECT_TRUE(log.until([&] { return may_reach_ledger(log->world(), kLaptop); }));
  intake->connected(kLaptop, kHome);
  EXPECT_TRUE(log.until([&] { return !may_reach_ledger(log->world(), kLaptop); }));
  EXPECT_EQ(laptop().country, "JP");
}

TEST(FactsOfConnections, TheCountryIsAskedOfTheDatabaseThatTheControllerHas) {
  const auto places = places_of(CountryDatabase().add("127.0.0.0/8", "TW"));
  ControllerRig rig;
  const FakeDevice web = rig.add_device("web", {"web"});
  rig.add_device("ledger", {"ledger"});
  rig.apply_policy(kFromTaiwan);
  const auto web_may = [&] { return may_reach_ledger(rig.log->world(), DeviceId("web")); };
  {
    FakeNode node(rig.port(), &web);
    ASSERT_TRUE(node.hello());
    ASSERT_TRUE(
        rig.eventually([&] { return rig.log->world().devices.at(DeviceId("web")).source.has_value(); }));
    EXPECT_FALSE(rig.on_strand(web_may)) << "there is no database";
  }
  rig.on_strand([&] {
    rig.server->stop();
    rig.services->places = places.get();
    rig.server =
        must(start_distribution(*rig.services, rig.dir() / "receipts-of-the-next.db", quick_limits()));
    return 0;
  });
  FakeNode node(rig.port(), &web);
  ASSERT_TRUE(node.hello());
  EXPECT_TRUE(rig.eventually(web_may));
  EXPECT_EQ(recorded_facts(rig.store).back().country_database, "Test-Country 1800000000");
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

}  // namespace distribution_facts_test
}  // namespace cordon::controller
