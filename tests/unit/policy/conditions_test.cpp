// P3, P5, P12: each condition by itself: what it needs, at equality, and what a missing fact makes of it.

#include "policy/conditions.h"

#include <gtest/gtest.h>

#include <tuple>

#include "tests/support/world_builder.h"

namespace cordon::test {
namespace conditions_test {

using policy::Asker;
using policy::Assurance;
using policy::Attestation;
using policy::Outlook;
using policy::Ownership;
using policy::Rule;
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::minutes;

class Conditions : public testing::Test {
 protected:
  Conditions() {
    device.checks = {"os_updates", "antivirus_updates", "application_updates"};
    device.ownership = Ownership::company;
    device.attestation = Attestation::software;
    device.source = Address::parse("198.51.100.20").value();
    device.country = "TW";
    session.assurance = Assurance::aal2;
    session.authenticated_at = kNow - minutes(20);
  }

  /// The one rule of a policy, for people on any device, with these lines.
  const Rule& rule(const std::string& lines, const std::string& effect = "allow") {
    policy_ = policy_of({{"p.toml", fmt::format(R"(
[segments.s]
members = ["tag:s"]
[device_classes]
managed  = {{ ownership = ["company"], health_min = 0.7, require = ["os_updates"] }}
attested = {{ attestation = "tpm" }}
tagged   = {{ tags = ["x", "y"] }}
{}
[[{}]]
name = "r"
to = ["s tcp/1"]
{}
)",
                                                settings_, effect, lines)}});
    return policy_->rules.at(0);
  }
  const Rule& when(const std::string& conditions) {
    return rule("from = { users = [\"u\"] }\nwhen = { " + conditions + " }");
  }
  const Rule& forbid_when(const std::string& conditions) {
    return rule("from = { users = [\"u\"] }\nwhen = { " + conditions + " }", "forbid");
  }
  const Rule& unless(const std::string& conditions) {
    return rule("from = { users = [\"u\"] }\nunless = { " + conditions + " }", "forbid");
  }
  const Rule& devices(const std::string& classes, const std::string& effect = "allow") {
    return rule("from = { users = [\"u\"], devices = " + classes + " }", effect);
  }

  bool holds(const Rule& rule, Timestamp now = kNow) const {
    const bool is = policy::holds(*policy_, rule, asker, now);
    EXPECT_EQ(policy::outlook(*policy_, rule, asker, now).holds, is);
    if (rule.effect == policy::Effect::allow) {
      EXPECT_EQ(policy::failed(*policy_, rule, asker, now).empty(), is);
    }
    return is;
  }
  Timestamp until(const Rule& rule, Timestamp now = kNow) const {
    return policy::outlook(*policy_, rule, asker, now).until;
  }
  /// "condition: needed / found"
  std::string failure(const Rule& rule, Timestamp now = kNow) const {
    std::string out;
    for (const auto& f : policy::failed(*policy_, rule, asker, now))
      out += fmt::format("{}{}: {} / {}", out.empty() ? "" : "; ", f.condition, f.needed, f.found);
    return out;
  }

  policy::Device device;
  policy::Session session;
  policy::User user{.id = SubjectId{"u"}, .issuer = "local", .name = "u"};
  Asker asker{&device, &session, &user};
  std::string settings_;  ///< more of the policy

 private:
  policy::PolicyPtr policy_;
};

TEST_F(Conditions, P3_NoneAtAllHoldForEver) {
  EXPECT_TRUE(holds(rule("from = { users = [\"u\"] }")));
  EXPECT_EQ(until(rule("from = { users = [\"u\"] }")), kNever);
  EXPECT_TRUE(holds(rule("from = { users = [\"u\"] }", "forbid"))) << "no unless: always";
}

TEST_F(Conditions, AssuranceIsMetByTheSameAndByMore) {
  EXPECT_TRUE(holds(when(R"(assurance = "aal1")")));
  EXPECT_TRUE(holds(when(R"(assurance = "aal2")")));
  EXPECT_FALSE(holds(when(R"(assurance = "aal3")")));
  EXPECT_EQ(failure(when(R"(assurance = "aal3")")), "assurance: aal3 / aal2");
}

TEST_F(Conditions, P5_AnAgeIsMetAtEquality) {
  const Rule& rule = when(R"(auth_age_max = "20m")");
  EXPECT_TRUE(holds(rule));
  EXPECT_EQ(until(rule), kNow + Seconds(1)) << "ages are whole seconds: the first one past it";
  EXPECT_TRUE(holds(rule, kNow + Seconds(1) - microseconds(1)));
  EXPECT_FALSE(holds(rule, kNow + Seconds(1)));
  EXPECT_EQ(failure(rule, kNow + Seconds(1)), "auth_age_max: 20m / 1201s");
  EXPECT_EQ(until(rule, kNow + Seconds(1)), kNever);
}

TEST_F(Conditions, P5_ALoginInTheFutureHasNoAge) {
  session.authenticated_at = kNow + minutes(1);
  const Rule& rule = when(R"(auth_age_max = "20m")");
  EXPECT_FALSE(holds(rule));
  EXPECT_EQ(failure(rule), "auth_age_max: 20m / a login in the future");
  EXPECT_EQ(until(rule), kNow + minutes(1));
  EXPECT_TRUE(holds(rule, kNow + minutes(1)));
}

TEST_F(Conditions, P5_TrustIsMetAtEquality) {
  // 0.4 x 70 + 0.4 x 90 + 0.2 x 100
  EXPECT_TRUE(holds(when("trust_min = 84")));
  EXPECT_FALSE(holds(when("trust_min = 85")));
  EXPECT_EQ(failure(when("trust_min = 85")), "trust_min: 85 / 84");
}

TEST_F(Conditions, P5_TrustGoesByTheAgeOfTheSameRule) {
  session.authenticated_at = kNow - hours(1);
  EXPECT_TRUE(holds(when("trust_min = 84")));
  EXPECT_EQ(failure(when(R"(trust_min = 84, auth_age_max = "1h")")), "trust_min: 84 / 70");
}

TEST_F(Conditions, P4_HealthIsMetAtEquality) {
  EXPECT_TRUE(holds(when("health_min = 0.9")));
  EXPECT_FALSE(holds(when("health_min = 1.0")));
  EXPECT_EQ(failure(when("health_min = 1.0")), "health_min: 1.0 / 0.9");
}

TEST_F(Conditions, RequireNeedsEveryCheck) {
  EXPECT_TRUE(holds(when(R"(require = ["os_updates", "antivirus_updates"])")));
  EXPECT_EQ(failure(when(R"(require = ["os_updates", "configuration"])")),
            "require: configuration, os_updates / configuration fails");
  device.checks = std::set<std::string>{};
  EXPECT_EQ(failure(when(R"(require = ["os_updates", "configuration"])")),
            "require: configuration, os_updates / configuration, os_updates fail");
}

TEST_F(Conditions, AttestationByTpmSatisfiesBoth) {
  EXPECT_TRUE(holds(when(R"(attestation = "software")")));
  EXPECT_EQ(failure(when(R"(attestation = "tpm")")), "attestation: tpm / software");
  device.attestation = Attestation::tpm;
  EXPECT_TRUE(holds(when(R"(attestation = "software")")));
  EXPECT_TRUE(holds(when(R"(attestation = "tpm")")));
}

TEST_F(Conditions, P11_HoursStartInAndEndOut) {
  const Rule& rule = when(R"(hours = "Mon 10:00-11:00", timezone = "UTC")");
  EXPECT_FALSE(holds(rule, kNow - microseconds(1)));
  EXPECT_TRUE(holds(rule));
  EXPECT_EQ(until(rule), kNow + hours(1));
  EXPECT_FALSE(holds(rule, kNow + hours(1)));
  EXPECT_EQ(failure(rule, kNow + hours(1)), "hours: Mon 10:00-11:00, UTC / Mon 11:00, UTC");
  EXPECT_EQ(until(rule, kNow + hours(1)), kNow + hours(7 * 24));
}

TEST_F(Conditions, ValidFromIsInAndValidUntilIsOut) {
  const Rule& rule = when(R"(valid_from = "2026-01-05T10:00:00Z", valid_until = "2026-01-05T10:00:00.5Z")");
  EXPECT_FALSE(holds(rule, kNow - microseconds(1)));
  EXPECT_EQ(until(rule, kNow - hours(1)), kNow);
  EXPECT_TRUE(holds(rule));
  EXPECT_EQ(until(rule), kNow + microseconds(500'000));
  EXPECT_TRUE(holds(rule, kNow + microseconds(499'999)));
  EXPECT_FALSE(holds(rule, kNow + microseconds(500'000)));
  EXPECT_EQ(until(rule, kNow + microseconds(500'000)), kNever);
  EXPECT_EQ(failure(rule, kNow - Seconds(1)), "valid_from: 2026-01-05T10:00:00Z / 2026-01-05T09:59:59Z");
  EXPECT_EQ(failure(rule, kNow + Seconds(1)), "valid_until: 2026-01-05T10:00:00.5Z / 2026-01-05T10:00:01Z");
}

TEST_F(Conditions, P12_SourceNetworksTestTheUnderlayAddress) {
  EXPECT_TRUE(holds(when(R"(source_networks = ["203.0.113.0/24", "198.51.100.20/32"])")));
  EXPECT_FALSE(holds(when(R"(source_networks = ["198.51.100.21/32"])")));
  EXPECT_EQ(failure(when(R"(source_networks = ["203.0.113.0/24", "2001:db8::/32"])")),
            "source_networks: 203.0.113.0/24 or 2001:db8::/32 / 198.51.100.20");
  device.source = Address::parse("2001:db8:ffff::1").value();
  EXPECT_TRUE(holds(when(R"(source_networks = ["203.0.113.0/24", "2001:db8::/32"])")));
}

TEST_F(Conditions, P12_CountriesTestWhereTheNodeIsSeenFrom) {
  EXPECT_TRUE(holds(when(R"(countries = ["JP", "TW"])")));
  EXPECT_EQ(failure(when(R"(countries = ["JP", "US"])")), "countries: JP or US / TW");
}

TEST_F(Conditions, FailuresComeInTheOrderOfThePage) {
  device = {};
  session.assurance.reset();
  EXPECT_EQ(failure(rule(R"(
from = { users = ["u"], devices = ["managed"] }
when = { countries = ["TW"], attestation = "tpm", health_min = 0.1, trust_min = 1, assurance = "aal1" })")),
            "devices: managed / not managed: ownership missing, health missing, checks: missing; "
            "assurance: aal1 / missing; trust_min: 1 / missing; health_min: 0.1 / missing; "
            "attestation: tpm / missing; countries: TW / missing");
}

TEST_F(Conditions, AllOfThemMustHold) {
  EXPECT_TRUE(holds(when(R"(assurance = "aal2", countries = ["TW"])")));
  EXPECT_FALSE(holds(when(R"(assurance = "aal3", countries = ["TW"])")));
  EXPECT_FALSE(holds(when(R"(assurance = "aal2", countries = ["US"])")));
}

/// Every condition that goes by a fact, and how to take the fact away.
struct Missing {
  const char* condition;
  void (*take)(policy::Device&, policy::Session&);
};
const std::initializer_list<Missing> kMissing{
    {R"(assurance = "aal1")", [](policy::Device&, policy::Session& s) { s.assurance.reset(); }},
    {R"(auth_age_max = "12h")", [](policy::Device&, policy::Session& s) { s.authenticated_at.reset(); }},
    {"trust_min = 0", [](policy::Device& d, policy::Session&) { d.checks.reset(); }},
    {"trust_min = 0", [](policy::Device&, policy::Session& s) { s.assurance.reset(); }},
    {R"(trust_min = 0, auth_age_max = "12h")",
     [](policy::Device&, policy::Session& s) { s.authenticated_at.reset(); }},
    {"health_min = 0.0", [](policy::Device& d, policy::Session&) { d.checks.reset(); }},
    {R"(require = ["os_updates"])", [](policy::Device& d, policy::Session&) { d.checks.reset(); }},
    {R"(attestation = "software")", [](policy::Device& d, policy::Session&) { d.attestation.reset(); }},
    {R"(source_networks = ["198.51.100.0/24"])",
     [](policy::Device& d, policy::Session&) { d.source.reset(); }},
    {R"(countries = ["TW"])", [](policy::Device& d, policy::Session&) { d.country.reset(); }},
};

TEST_F(Conditions, P3_AMissingFactIsFalseInAnAllow) {
  for (const auto& [condition, take] : kMissing) {
    const auto [was_device, was_session] = std::tuple(device, session);
    EXPECT_TRUE(holds(when(condition))) << condition;
    take(device, session);
    EXPECT_FALSE(holds(when(condition))) << condition;
    EXPECT_TRUE(failure(when(condition)).ends_with("/ missing")) << failure(when(condition));
    EXPECT_EQ(until(when(condition)), kNever) << condition;
    std::tie(device, session) = std::tuple(was_device, was_session);
  }
}

TEST_F(Conditions, P3_AMissingFactIsFalseInUnless) {
  for (const auto& [condition, take] : kMissing) {
    const auto [was_device, was_session] = std::tuple(device, session);
    EXPECT_FALSE(holds(unless(condition))) << condition;
    take(device, session);
    EXPECT_TRUE(holds(unless(condition))) << condition;
    std::tie(device, session) = std::tuple(was_device, was_session);
  }
}

TEST_F(Conditions, P3_AMissingFactIsTrueInAForbidsWhen) {
  EXPECT_TRUE(holds(forbid_when(R"(countries = ["TW"])")));
  EXPECT_FALSE(holds(forbid_when(R"(countries = ["US"])")));
  EXPECT_FALSE(holds(forbid_when(R"(source_networks = ["203.0.113.0/24"])")));
  device.country.reset();
  device.source.reset();
  EXPECT_TRUE(holds(forbid_when(R"(countries = ["US"])")));
  EXPECT_TRUE(holds(forbid_when(R"(source_networks = ["203.0.113.0/24"])")));
}

TEST_F(Conditions, P3_AForbidHoldsUnlessAllOfUnlessDoes) {
  EXPECT_FALSE(holds(unless(R"(assurance = "aal2", health_min = 0.9)")));
  EXPECT_TRUE(holds(unless(R"(assurance = "aal3", health_min = 0.9)")));
  EXPECT_TRUE(holds(unless(R"(assurance = "aal2", health_min = 1.0)")));
}

TEST_F(Conditions, P3_AForbidNeedsItsWhenToo) {
  const auto both = [&](const char* country, const char* level) -> const Rule& {
    return rule(fmt::format("from = {{ users = [\"u\"] }}\nwhen = {{ countries = [\"{}\"] }}\nunless = {{ "
                            "assurance = \"{}\" }}",
                            country, level),
                "forbid");
  };
  EXPECT_TRUE(holds(both("TW", "aal3")));
  EXPECT_FALSE(holds(both("TW", "aal2")));
  EXPECT_FALSE(holds(both("US", "aal3")));
}

TEST_F(Conditions, AClassNeedsAllThatItNames) {
  EXPECT_TRUE(holds(devices(R"(["managed"])")));
  device.ownership = Ownership::personal;
  EXPECT_EQ(failure(devices(R"(["managed"])")), "devices: managed / not managed: ownership is personal");
  device.ownership = Ownership::company;
  device.checks = {"antivirus_updates", "application_updates", "configuration"};
  EXPECT_EQ(failure(devices(R"(["managed"])")),
            "devices: managed / not managed: health is 0.6, checks: os_updates fails");
}

TEST_F(Conditions, OfClassesAnyWillDo) {
  EXPECT_TRUE(holds(devices(R"(["attested", "managed"])")));
  EXPECT_EQ(failure(devices(R"(["attested", "tagged"])")),
            "devices: attested or tagged / not attested: attestation is software; not tagged: tags are none");
  device.tags = {"y", "z"};
  EXPECT_TRUE(holds(devices(R"(["attested", "tagged"])"))) << "of tags any";
}

TEST_F(Conditions, P3_AMissingFactOfTheDeviceIsFalseInAnAllowAndTrueInAForbid) {
  EXPECT_TRUE(holds(devices(R"(["managed"])", "forbid")));
  device.ownership.reset();
  EXPECT_FALSE(holds(devices(R"(["managed"])")));
  EXPECT_TRUE(holds(devices(R"(["managed"])", "forbid")));
  device.checks = {"application_updates"};
  EXPECT_FALSE(holds(devices(R"(["managed"])", "forbid"))) << "for sure not of the class";
  device.attestation.reset();
  EXPECT_TRUE(holds(devices(R"(["managed", "attested"])", "forbid"))) << "it may be of the other";
  EXPECT_FALSE(holds(devices(R"(["managed", "attested"])")));
}

TEST_F(Conditions, P3_MissingTagsAreEmpty) {
  EXPECT_FALSE(holds(devices(R"(["tagged"])", "forbid")));
}

TEST_F(Conditions, P5_MethodRulesIgnoresTheScore) {
  settings_ = "[trust]\nmethod = \"rules\"";
  EXPECT_TRUE(holds(when("trust_min = 100")));
  device.checks.reset();
  EXPECT_TRUE(holds(when("trust_min = 100"))) << "even a missing one";
  EXPECT_TRUE(holds(unless("trust_min = 0"))) << "ignored is unmet in unless";
  EXPECT_FALSE(holds(when("health_min = 0.1"))) << "health is no score of trust";
}

TEST_F(Conditions, P5_MethodScoreIgnoresRequire) {
  settings_ = "[trust]\nmethod = \"score\"";
  device.checks = {"antivirus_updates", "application_updates", "configuration"};
  EXPECT_TRUE(holds(when(R"(require = ["os_updates"])")));
  EXPECT_TRUE(holds(unless(R"(require = ["antivirus_updates"])"))) << "ignored is unmet in unless";
  EXPECT_FALSE(holds(when("trust_min = 85")));
  EXPECT_EQ(failure(devices(R"(["managed"])")), "devices: managed / not managed: health is 0.6")
      << "of classes too";
  device.checks->insert("os_updates");
  EXPECT_TRUE(holds(devices(R"(["managed"])")));
}

TEST_F(Conditions, P5_MethodHybridNeedsBoth) {
  settings_ = "[trust]\nmethod = \"hybrid\"";
  EXPECT_TRUE(holds(when(R"(trust_min = 84, require = ["os_updates"])")));
  EXPECT_FALSE(holds(when(R"(trust_min = 85, require = ["os_updates"])")));
  EXPECT_FALSE(holds(when(R"(trust_min = 84, require = ["configuration"])")));
}

TEST_F(Conditions, P7_TheEndIsThatOfTheFirstToEnd) {
  const Rule& rule = when(
      R"(auth_age_max = "1h", hours = "Mon 09:00-18:00", timezone = "UTC", valid_until = "2026-01-05T10:30:00Z")");
  EXPECT_EQ(until(rule), kNow + minutes(30));
  session.authenticated_at = kNow - minutes(40);
  EXPECT_EQ(until(rule), kNow + minutes(20) + Seconds(1));
}

TEST_F(Conditions, P7_WhatFailsBeginsWhenAllDo) {
  const Rule& rule = when(
      R"(hours = ["Mon 11:00-12:00", "Tue 11:00-12:00"], timezone = "UTC", valid_from = "2026-01-05T12:00:00Z")");
  EXPECT_EQ(until(rule), kNow + hours(25)) << "on Monday it isn't valid yet";
}

TEST_F(Conditions, P7_ATrustThatFallsEndsIt) {
  session.authenticated_at = kNow;
  const Rule& rule = when(R"(trust_min = 84, auth_age_max = "1h")");
  EXPECT_TRUE(holds(rule));
  EXPECT_GT(until(rule), kNow + minutes(30));
  EXPECT_TRUE(holds(rule, until(rule) - microseconds(1)));
  EXPECT_FALSE(holds(rule, until(rule)));
}

TEST_F(Conditions, P7_AForbidBeginsWhenUnlessEnds) {
  const Rule& rule = unless(R"(auth_age_max = "20m")");
  EXPECT_FALSE(holds(rule));
  EXPECT_EQ(until(rule), kNow + Seconds(1));
  EXPECT_TRUE(holds(rule, kNow + Seconds(1)));
}

TEST_F(Conditions, P7_AForbidBeginsWithItsHours) {
  const Rule& rule = forbid_when(R"(hours = "* 18:00-08:00", timezone = "UTC")");
  EXPECT_FALSE(holds(rule));
  EXPECT_EQ(until(rule), kNow + hours(8));
  EXPECT_EQ(until(rule, kNow + hours(8)), kNow + hours(22));
}

TEST_F(Conditions, ADeviceByItselfMeetsConditionsByTheDeviceAlone) {
  asker = {&device, nullptr, nullptr};
  const Rule& rule =
      this->rule("from = { tags = [\"t\"] }\nwhen = { health_min = 0.9, countries = [\"TW\"] }");
  EXPECT_TRUE(holds(rule));
  device.country = "US";
  EXPECT_FALSE(holds(rule));
}

}  // namespace conditions_test
}  // namespace cordon::test
