// P3 to P10 where conditions decide: which rules hold, until when, and what is said of those that don't.

#include <gtest/gtest.h>

#include "policy/evaluate.h"
#include "tests/support/world_builder.h"

namespace cordon::test {
namespace evaluate_conditions_test {

using policy::Assurance;
using policy::Attestation;
using policy::Decision;
using policy::evaluate;
using policy::Ownership;
using policy::Verdict;
using std::chrono::hours;
using std::chrono::minutes;

constexpr const char* kDefinitions = R"(
[groups]
traders    = { users = ["trader"], claims = ["corp:trading"] }
responders = { users = ["oncall"] }
[device_classes]
managed = { ownership = ["company"], health_min = 0.7 }
[segments.settlement]
members = ["tag:settlement"]
[segments.settlement.services]
ledger = ["tcp/5432"]
)";

class EvaluateConditions : public testing::Test {
 protected:
  EvaluateConditions() {
    builder.device("ledger", {"settlement"});
    policy::Device& laptop = builder.device("laptop");
    laptop.ownership = Ownership::company;
    laptop.checks = {"os_updates", "antivirus_updates", "application_updates"};
    laptop.attestation = Attestation::software;
    laptop.country = "TW";
    builder.session("s", "trader", "laptop");
    change([](policy::Session& session) { session.assurance = Assurance::aal3; });
  }

  /// An allow or a forbid of traders to the ledger, with more lines.
  static std::string rule(const std::string& effect, const std::string& name, const std::string& lines) {
    return fmt::format(
        "[[{}]]\nname = \"{}\"\nfrom = {{ groups = [\"traders\"] }}\nto = [\"settlement/ledger\"]\n{}\n",
        effect, name, lines);
  }
  static std::string allow(const std::string& name, const std::string& lines) {
    return rule("allow", name, lines);
  }
  static std::string forbid(const std::string& name, const std::string& lines) {
    return rule("forbid", name, lines);
  }

  void policy(const std::string& rules) { builder.policy(kDefinitions + rules); }
  Decision ask(Timestamp now = kNow) const {
    return evaluate(world, {.principal = SessionId{"s"}, .target = DeviceId{"ledger"}, .port = 5432}, now);
  }
  policy::Device& laptop() { return world.devices.at(DeviceId{"laptop"}); }
  void change(const std::function<void(policy::Session&)>& change) {
    world.sessions.change(SessionId{"s"}, change);
  }

  WorldBuilder builder;
  policy::World& world = builder.world();
};

TEST_F(EvaluateConditions, P3_AnAllowHoldsWhenEveryConditionDoes) {
  policy(allow("a", R"(when = { assurance = "aal3", countries = ["TW"] })"));
  EXPECT_EQ(ask().verdict, Verdict::allow);
  laptop().country = "US";
  EXPECT_EQ(ask().verdict, Verdict::deny);
}

TEST_F(EvaluateConditions, ADenialListsWhatFailedAndWhatWasFound) {
  policy(allow("b-strict", R"(when = { assurance = "aal3", trust_min = 97, countries = ["JP"] })") +
         allow("a-managed", "") + R"(
[[allow]]
name = "others"
from = { users = ["somebody-else"] }
to = ["settlement/ledger"]
[[allow]]
name = "elsewhere"
from = { groups = ["traders"] }
to = ["settlement tcp/22"]
)");
  const Decision allowed = ask();
  ASSERT_EQ(allowed.because.size(), 1u) << "an allow is explained by what held";
  EXPECT_EQ(allowed.because[0].rule, "a-managed");

  policy(allow("b-strict", R"(when = { assurance = "aal3", trust_min = 97, countries = ["JP"] })") +
         allow("a-old", R"(when = { valid_until = "2026-01-05T10:00:00Z" })"));
  const Decision denied = ask();
  EXPECT_EQ(denied.verdict, Verdict::deny);
  EXPECT_TRUE(denied.rule.empty());
  ASSERT_EQ(denied.because.size(), 2u);
  EXPECT_EQ(denied.because[0].rule, "a-old");
  const auto& strict = denied.because[1];
  EXPECT_FALSE(strict.holds);
  ASSERT_EQ(strict.failed.size(), 2u) << "assurance holds";
  EXPECT_EQ(strict.failed[0].condition, "trust_min");
  EXPECT_EQ(strict.failed[0].needed, "97");
  EXPECT_EQ(strict.failed[0].found, "96");
  EXPECT_EQ(strict.failed[1].condition, "countries");
}

TEST_F(EvaluateConditions, AForbidIsToldWithTheAllowsItStopped) {
  policy(allow("a", "") + forbid("f", R"(unless = { health_min = 1.0 })") +
         forbid("not-now", R"(when = { countries = ["US"] })"));
  const Decision decision = ask();
  EXPECT_EQ(decision.verdict, Verdict::forbid);
  EXPECT_EQ(decision.rule, "f");
  ASSERT_EQ(decision.because.size(), 2u) << "of forbids only those that held";
  EXPECT_EQ(decision.because[0].rule, "a");
  EXPECT_TRUE(decision.because[0].holds);
  EXPECT_EQ(decision.because[1].rule, "f");
  EXPECT_TRUE(decision.because[1].holds);
}

TEST_F(EvaluateConditions, AForbidThatHoldsIsTheVerdictWithoutAnyAllow) {
  policy(forbid("f", ""));
  EXPECT_EQ(ask().verdict, Verdict::forbid);
}

TEST_F(EvaluateConditions, P3_AForbidGivesWayToUnless) {
  policy(allow("a", "") + forbid("f", R"(unless = { assurance = "aal3", health_min = 0.9 })"));
  EXPECT_EQ(ask().verdict, Verdict::allow);
  laptop().checks->erase("os_updates");
  EXPECT_EQ(ask().verdict, Verdict::forbid);
  laptop().checks.reset();
  EXPECT_EQ(ask().verdict, Verdict::forbid) << "missing doesn't help";
}

TEST_F(EvaluateConditions, P3_WhoIsNotToldMayBeWhomAForbidNames) {
  policy(allow("a", "") + R"(
[[forbid]]
name = "f"
from = { users = ["somebody-else"] }
to = ["settlement/*"]
)");
  EXPECT_EQ(ask().verdict, Verdict::allow);
  change([](policy::Session& session) { session.claims = {"corp:trading"}; });
  builder.user("").name.clear();
  change([](policy::Session& session) { session.user = SubjectId{"u-"}; });
  EXPECT_EQ(ask().verdict, Verdict::forbid);
  policy(allow("a", ""));
  EXPECT_EQ(ask().verdict, Verdict::allow) << "by the claim";
}

TEST_F(EvaluateConditions, P4_HealthAndP5TrustAreTold) {
  policy(allow("a", ""));
  EXPECT_EQ(ask().health, 9);
  EXPECT_EQ(ask().trust, 96) << "for rules without trust_min too";
  laptop().checks.reset();
  EXPECT_EQ(ask().health, std::nullopt);
  EXPECT_EQ(ask().trust, std::nullopt);
}

TEST_F(EvaluateConditions, P5_TrustIsToldUnderTheDecidingRule) {
  change([](policy::Session& session) { session.authenticated_at = kNow - hours(1); });
  policy(allow("a", R"(when = { auth_age_max = "1h" })"));
  EXPECT_EQ(ask().trust, 76) << "0.4 x 50 + 36 + 20";
  ASSERT_EQ(ask().because.size(), 1u);
  EXPECT_EQ(ask().because[0].trust, 76);
  policy(allow("a", R"(when = { auth_age_max = "1h", trust_min = 77 })"));
  EXPECT_EQ(ask().verdict, Verdict::deny);
  EXPECT_EQ(ask().trust, 96) << "a plain deny has no rule";
  EXPECT_EQ(ask().because.at(0).trust, 76);
  policy(forbid("f", R"(unless = { auth_age_max = "1h", trust_min = 77 })"));
  EXPECT_EQ(ask().verdict, Verdict::forbid);
  EXPECT_EQ(ask().trust, 76);
}

TEST_F(EvaluateConditions, P5_ADeviceByItselfHasNoTrust) {
  policy(R"(
[[allow]]
name = "machines"
from = { segments = ["settlement"] }
to = ["settlement/ledger"]
)");
  const Decision decision =
      evaluate(world, {.principal = DeviceId{"ledger"}, .target = DeviceId{"ledger"}, .port = 5432}, kNow);
  EXPECT_EQ(decision.verdict, Verdict::allow);
  EXPECT_EQ(decision.trust, std::nullopt);
}

TEST_F(EvaluateConditions, HealthAndTrustAreToldWhenNoRuleIsRead) {
  policy(allow("a", ""));
  change([](policy::Session& session) { session.ends_at = kNow; });
  const Decision decision = ask();
  EXPECT_EQ(decision.verdict, Verdict::deny);
  EXPECT_EQ(decision.health, 9);
  EXPECT_EQ(decision.trust, 96);
  EXPECT_TRUE(decision.because.empty());
}

TEST_F(EvaluateConditions, P7_TheDeadlineIsTheFirstOfAll) {
  const std::string lease = "lease = \"1d\"\n";
  policy(allow("a", lease));
  change([](policy::Session& session) { session.ends_at = kNow + hours(9); });
  EXPECT_EQ(ask().deadline, kNow + hours(9)) << "session end";
  policy(allow("a", lease + R"(when = { hours = "Mon-Fri 08:00-18:00", timezone = "UTC" })"));
  EXPECT_EQ(ask().deadline, kNow + hours(8)) << "end of the hours";
  policy(
      allow("a", lease + R"(when = { hours = ["Mon 08:00-18:00", "Mon 18:00-18:30"], timezone = "UTC" })"));
  EXPECT_EQ(ask().deadline, kNow + hours(8) + minutes(30)) << "adjoining windows are one";
  policy(allow("a", lease + R"(when = { valid_until = "2026-01-05T12:00:00Z" })"));
  EXPECT_EQ(ask().deadline, kNow + hours(2));
  policy(allow("a", lease + R"(when = { auth_age_max = "1h" })"));
  EXPECT_EQ(ask().deadline, kNow + hours(1) + Seconds(1)) << "the moment the age is passed";
  policy(allow("a", lease + R"(when = { auth_age_max = "1h", trust_min = 96 })"));
  EXPECT_EQ(ask().deadline, kNow + minutes(30) + Seconds(46)) << "trust falls under";
  policy(allow("a", lease) + forbid("f", R"(when = { valid_from = "2026-01-05T10:20:00Z" })"));
  EXPECT_EQ(ask().deadline, kNow + minutes(20)) << "a forbid begins";
  policy(allow("a", lease) + forbid("f", R"(unless = { auth_age_max = "15m" })"));
  EXPECT_EQ(ask().deadline, kNow + minutes(15) + Seconds(1)) << "a forbid's unless ends";
  policy(allow("a", "lease = \"5m\""));
  EXPECT_EQ(ask().deadline, kNow + minutes(5)) << "the lease";
}

TEST_F(EvaluateConditions, P7_AForbidElsewhereEndsNothing) {
  policy(allow("a", "lease = \"1d\"") + R"(
[[forbid]]
name = "f"
from = { groups = ["traders"] }
to = ["settlement tcp/22"]
when = { valid_from = "2026-01-05T10:20:00Z" }
[[forbid]]
name = "g"
from = { users = ["somebody-else"] }
to = ["settlement/*"]
when = { valid_from = "2026-01-05T10:20:00Z" }
)");
  EXPECT_EQ(ask().deadline, kNow + hours(8)) << "at the session's end";
}

TEST_F(EvaluateConditions, P7_OfSeveralAllowsTheLatestDeadlineWins) {
  policy(allow("a-short", R"(when = { valid_until = "2026-01-05T10:05:00Z" })") +
         allow("b-long", R"(when = { valid_until = "2026-01-05T10:09:00Z" })") +
         allow("c-fails", R"(when = { assurance = "aal3", countries = ["US"] })"));
  EXPECT_EQ(ask().rule, "b-long");
  EXPECT_EQ(ask().deadline, kNow + minutes(9));
  EXPECT_EQ(ask(kNow + minutes(6)).rule, "b-long");
  EXPECT_EQ(ask(kNow + minutes(9)).verdict, Verdict::deny);
}

TEST_F(EvaluateConditions, P7_TheDeadlineIsWhenTheVerdictChanges) {
  policy(allow("a", "lease = \"1d\"\nwhen = { auth_age_max = \"1h\", trust_min = 90 }") +
         forbid("f", R"(when = { hours = "Mon 10:50-11:00", timezone = "UTC" })"));
  const Decision decision = ask();
  EXPECT_EQ(ask(decision.deadline - std::chrono::microseconds(1)).verdict, Verdict::allow);
  EXPECT_NE(ask(decision.deadline).verdict, Verdict::allow);
}

TEST_F(EvaluateConditions, P10_RespondersMeetConditionsToo) {
  policy(R"(
[[allow]]
name = "respond"
from = { groups = ["responders"], devices = ["managed"] }
to = ["settlement/ledger"]
responders = true
when = { assurance = "aal3" }
)" + allow("everyday", R"(when = { assurance = "aal3" })"));
  builder.session("s", "oncall", "laptop");  // aal2
  world.devices.at(DeviceId{"ledger"}).isolated = true;
  const Decision weak = ask();
  EXPECT_EQ(weak.verdict, Verdict::deny);
  ASSERT_EQ(weak.because.size(), 1u);
  ASSERT_EQ(weak.because[0].failed.size(), 1u);
  EXPECT_EQ(weak.because[0].failed[0].condition, "assurance");
  change([](policy::Session& session) { session.assurance = Assurance::aal3; });
  EXPECT_EQ(ask().verdict, Verdict::allow);
  laptop().ownership = Ownership::personal;
  EXPECT_EQ(ask().verdict, Verdict::deny);
}

TEST_F(EvaluateConditions, P10_AnAllowThatIsNotForRespondersSaysSoLast) {
  policy(allow("everyday", R"(when = { countries = ["US"] })"));
  world.devices.at(DeviceId{"ledger"}).isolated = true;
  const Decision decision = ask();
  ASSERT_EQ(decision.because.size(), 1u);
  ASSERT_EQ(decision.because[0].failed.size(), 2u);
  EXPECT_EQ(decision.because[0].failed[0].condition, "countries");
  EXPECT_EQ(decision.because[0].failed[1].condition, "responders");
}

}  // namespace evaluate_conditions_test
}  // namespace cordon::test
