// A policy's life (I9): applied, then confirmed or rolled back; and what else the fold keeps beside it.
#include <gtest/gtest.h>

#include "controller/world/policy_history.h"
#include "policy/evaluate.h"
#include "tests/support/describe_world.h"
#include "tests/support/log_fixture.h"

namespace cordon::controller {
namespace world_policy_test {

using namespace test;
using namespace kinds;

/// Grants tag:web its site by a rule of that name.
std::vector<SourceFile> rules(const std::string& name) {
  return {{"p.toml",
           "[segments.web]\nmembers = [\"tag:web\"]\n[segments.web.services]\nsite = [\"tcp/443\"]\n"
           "[[allow]]\nname = \"" +
               name + "\"\nfrom = { segments = [\"web\"] }\nto = [\"web/site\"]\n"}};
}

/// A company with a policy "first" in force, and what became of each of its policies.
struct Company : History {
  PolicyHistory policies;

  Company() {
    add(installation());
    add(join_token("t-1"));
    add(enrolled("laptop", "t-1", 1));
    add(user("u-1", "trader@acme.example"));
    add(PolicyApplied{rules("first")});
  }
  PolicyApplied pending(const std::string& name, Seconds within = Seconds(300)) const {
    return {rules(name), now + Seconds(1) + within, "2025b"};
  }
  std::string rule() const { return world.policy->rules.at(0).name; }
  /// The same history folded anew.
  PolicyHistory told() const {
    PolicyHistory history;
    policy::World again;
    for (const auto& record : records) {
      must(apply(again, record, plain_name, system_time_zones()));
      history.add(record, again);
    }
    return history;
  }
  std::vector<std::string> states() const {
    std::vector<std::string> all;
    const auto history = told();
    for (const auto& [revision, entry] : history.entries()) all.emplace_back(state_of(entry, world));
    return all;
  }
};
using States = std::vector<std::string>;

ErrorCode code_of(const Result<>& result) {
  return result ? ErrorCode::internal : result.error().code;
}

TEST(PolicyLife, OfVersion1ItWasConfirmedAtOnce) {
  const Company c;
  EXPECT_FALSE(c.world.pending);
  EXPECT_EQ(c.states(), States{"in force"});
  EXPECT_EQ(c.told().entries().begin()->second.confirmed->actor, "root@local");
}

TEST(PolicyLife, APendingOneIsInForceAndWaits) {
  Company c;
  const auto first = c.world.policy_revision;
  const auto revision = c.add(c.pending("second")).revision;
  ASSERT_TRUE(c.world.pending);
  EXPECT_EQ(c.rule(), "second");
  EXPECT_EQ(c.world.policy_revision, revision);
  EXPECT_EQ(c.world.pending->confirmed_revision, first);
  EXPECT_EQ(c.world.pending->confirmed->rules.at(0).name, "first");
  EXPECT_EQ(c.states(), (States{"confirmed", "pending"}));
}

TEST(PolicyLife, OneIsPendingAtATime) {
  Company c;
  const auto revision = c.add(c.pending("second")).revision;
  for (const auto& other : {c.pending("third"), PolicyApplied{rules("third")}}) {
    const auto refused = c.try_add(other);
    ASSERT_EQ(code_of(refused), ErrorCode::conflict);
    EXPECT_EQ(refused.error().what, "policy revision " + std::to_string(revision.value) +
                                        " waits for confirmation until " +
                                        format_rfc3339(c.world.pending->confirm_by));
    EXPECT_NE(refused.error().hint.find("cordon policy confirm"), std::string::npos);
  }
  EXPECT_EQ(c.rule(), "second");
}

TEST(PolicyLife, ConfirmedItStays) {
  Company c;
  const auto revision = c.add(c.pending("second")).revision;
  EXPECT_EQ(code_of(c.try_add(PolicyConfirmed{Revision(1)})), ErrorCode::conflict);
  c.add(PolicyConfirmed{revision});
  EXPECT_FALSE(c.world.pending);
  EXPECT_EQ(c.rule(), "second");
  EXPECT_EQ(c.states(), (States{"superseded", "in force"}));
  EXPECT_EQ(c.told().entries().begin()->second.replaced_by, revision);
  EXPECT_EQ(code_of(c.try_add(PolicyConfirmed{revision})), ErrorCode::conflict);
  EXPECT_EQ(code_of(c.try_add(PolicyRolledBack{revision, ""})), ErrorCode::conflict);
  EXPECT_TRUE(c.try_add(c.pending("third")));
}

TEST(PolicyLife, RolledBackTheConfirmedOneIsBackWithItsFiles) {
  Company c;
  const auto first = c.world.policy_revision;
  const auto revision = c.add(c.pending("second")).revision;
  EXPECT_EQ(code_of(c.try_add(PolicyRolledBack{first, ""})), ErrorCode::conflict);
  c.add(PolicyRolledBack{revision, "not confirmed in time"});
  EXPECT_FALSE(c.world.pending);
  EXPECT_EQ(c.rule(), "first");
  EXPECT_EQ(c.world.policy_revision, first);
  ASSERT_EQ(c.world.policy_files->size(), 1u);
  EXPECT_EQ(c.world.policy_files->front().text, rules("first")[0].text);
  EXPECT_EQ(c.states(), (States{"in force", "rolled back"}));
  EXPECT_EQ(c.told().find(revision)->reason, "not confirmed in time");
  EXPECT_EQ(c.world.rule_ids.at("second"), RuleId(2)) << "its rules' numbers are used";
  EXPECT_EQ(code_of(c.try_add(PolicyConfirmed{revision})), ErrorCode::conflict);
}

TEST(PolicyLife, TheFirstOneRolledBackLeavesNone) {
  History h;
  h.add(installation());
  const auto revision = h.add(PolicyApplied{rules("only"), h.now + Seconds(301), "2025b"}).revision;
  h.add(PolicyRolledBack{revision, ""});
  EXPECT_TRUE(h.world.policy->rules.empty());
  EXPECT_TRUE(h.world.policy_files->empty());
  EXPECT_EQ(h.world.policy_revision, Revision(0));
}

TEST(PolicyLife, ConfirmationComesBeforeItsTime) {
  Company c;
  auto revision = c.add(c.pending("second", Seconds(300))).revision;
  EXPECT_EQ(code_of(c.try_add(PolicyConfirmed{revision}, Seconds(300))), ErrorCode::conflict);
  EXPECT_TRUE(c.try_add(PolicyConfirmed{revision}, Seconds(300) - std::chrono::microseconds(1)));
}

TEST(PolicyLife, WaitsOfNoTimeOrOfDaysAreRefused) {
  Company c;
  EXPECT_EQ(code_of(c.try_add(c.pending("x", Seconds(0)))), ErrorCode::invalid);
  EXPECT_EQ(code_of(c.try_add(c.pending("x", Seconds(24 * 3600 + 1)))), ErrorCode::invalid);
  EXPECT_TRUE(c.try_add(c.pending("x", Seconds(24 * 3600))));
}

TEST(PolicyLife, ARollbackTouchesNoIsolationAndNoSession) {
  Company c;
  c.add(enrolled("other", "t-1", 2));
  c.add(session("s-1", "u-1", "laptop", 1000, c.now + std::chrono::hours(1)));
  const auto revision = c.add(c.pending("second")).revision;
  c.add(DeviceIsolated{DeviceId("other"), "malware"});
  c.add(session("s-2", "u-1", "laptop", 1001, c.now + std::chrono::hours(1)));
  c.add(SessionClosed{SessionId("s-1"), ""});
  c.add(PolicyRolledBack{revision, "taken back"});
  EXPECT_TRUE(c.world.devices.at(DeviceId("other")).isolated);
  EXPECT_TRUE(c.world.sessions.contains(SessionId("s-2")));
  EXPECT_FALSE(c.world.sessions.contains(SessionId("s-1")));
}

TEST(PolicyLife, AnOvertakenRecordIsNoPartOfTheHistory) {
  Company c;
  const auto revision = c.add(c.pending("second")).revision;
  for (const Kind& kind : {Kind(c.pending("third")), Kind(PolicyConfirmed{Revision(2)})}) {
    auto record = next_record(c.world, encode("root@local", kind), c.now + Seconds(1));
    must(apply(c.world, record, plain_name, system_time_zones()));
    c.now = record.at;
    c.records.push_back(record);
  }
  EXPECT_EQ(c.world.policy_revision, revision);
  EXPECT_EQ(c.states(), (States{"confirmed", "pending"}));
}

TEST(PolicyLife, ZonesAreThoseThatArePassedIn) {
  struct NoZones final : TimeZones {
    TimeZonePtr find(std::string_view) const override { return nullptr; }
    std::vector<std::string> names() const override { return {}; }
    std::string version() const override { return "none"; }
  } none;
  Company c;
  const PolicyApplied timed{
      {{"p.toml",
        "[segments.web]\nmembers = [\"tag:web\"]\n[segments.web.services]\nsite = [\"tcp/443\"]\n"
        "[groups]\ng = { users = [\"a@b.example\"] }\n"
        "[[allow]]\nname = \"x\"\nfrom = { groups = [\"g\"] }\nto = [\"web/site\"]\n"
        "when = { hours = \"Mon-Fri 08:00-18:00\", timezone = \"Asia/Taipei\" }\n"}},
      c.now + Seconds(300),
      "2025b"};
  const auto proposal = encode("root@local", timed);
  EXPECT_TRUE(check(c.world, proposal, c.now + Seconds(1), system_time_zones()));
  EXPECT_FALSE(check(c.world, proposal, c.now + Seconds(1), none));
}

TEST(Targets, AreNumberedWhenAPolicyIsInForceAndWhenADeviceComesOrIsTagged) {
  Company c;
  const auto target = [&](const char* id) {
    const auto& device = c.world.devices.at(DeviceId(id));
    return policy::target_of(c.world, device, policy::segments_of(c.world, device));
  };
  const auto web = target("laptop");
  EXPECT_NE(web, TargetId(0));
  c.add(enrolled("two", "t-1", 2));
  EXPECT_EQ(target("two"), web) << "devices in the same segments are one target";
  c.add(DeviceTagged{DeviceId("two"), {}});
  EXPECT_NE(target("two"), TargetId(0));
  EXPECT_NE(target("two"), web);
  auto other = c.pending("x");
  other.files[0].text += "[segments.more]\nmembers = [\"tag:web\"]\n";
  const auto revision = c.add(other).revision;
  const auto both = target("laptop");
  EXPECT_NE(both, web);
  EXPECT_NE(both, TargetId(0));
  c.add(PolicyRolledBack{revision, ""});
  EXPECT_EQ(target("laptop"), web);
  c.add(DeviceIsolated{DeviceId("laptop"), ""});
  EXPECT_EQ(target("laptop"), TargetId(web.value + 1));
}

TEST(WorldFacts, OfADeviceAreWhatIsKnownNow) {
  Company c;
  const DeviceId laptop("laptop");
  DeviceFacts facts{.device = laptop,
                    .checks = std::set<std::string>{"os_updates"},
                    .attestation = policy::Attestation::software,
                    .source = must(Address::parse("198.51.100.20")),
                    .country = "TW"};
  c.add(facts);
  const auto& device = c.world.devices.at(laptop);
  EXPECT_EQ(device.checks, facts.checks);
  EXPECT_EQ(device.attestation, facts.attestation);
  EXPECT_EQ(device.source, facts.source);
  EXPECT_EQ(device.country, facts.country);
  EXPECT_EQ(code_of(c.try_add(facts)), ErrorCode::conflict) << "a fact is recorded when it changes";
  c.add(DeviceFacts{.device = laptop});
  EXPECT_FALSE(device.checks || device.attestation || device.source || device.country);
  EXPECT_EQ(code_of(c.try_add(DeviceFacts{.device = laptop, .checks = std::set<std::string>{"a b"}})),
            ErrorCode::invalid);
  EXPECT_EQ(code_of(c.try_add(DeviceFacts{.device = DeviceId("nobody")})), ErrorCode::not_found);
}

TEST(WorldFacts, OwnershipIsSetRightByAnOperator) {
  Company c;
  EXPECT_EQ(code_of(c.try_add(DeviceClassified{DeviceId("laptop"), policy::Ownership::company})),
            ErrorCode::conflict);
  c.add(DeviceClassified{DeviceId("laptop"), policy::Ownership::personal});
  EXPECT_EQ(c.world.devices.at(DeviceId("laptop")).ownership, policy::Ownership::personal);
  c.add(DeviceClassified{DeviceId("laptop"), std::nullopt});
  EXPECT_EQ(c.world.devices.at(DeviceId("laptop")).ownership, std::nullopt);
}

TEST(WorldFacts, SignalsOfASession) {
  Company c;
  const SessionSignals signals{SessionId("s-1"), {{"new country", 30, c.now + Seconds(60)}}};
  EXPECT_EQ(code_of(c.try_add(signals)), ErrorCode::not_found);
  c.add(session("s-1", "u-1", "laptop", 1000, c.now + std::chrono::hours(1)));
  c.add(signals);
  EXPECT_EQ(c.world.sessions.at(SessionId("s-1")).signals, signals.signals);
  EXPECT_EQ(code_of(c.try_add(signals)), ErrorCode::conflict);
  c.add(SessionSignals{SessionId("s-1"), {}});
  EXPECT_TRUE(c.world.sessions.at(SessionId("s-1")).signals.empty());
}

}  // namespace world_policy_test
}  // namespace cordon::controller
