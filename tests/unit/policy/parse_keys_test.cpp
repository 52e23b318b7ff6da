// Every key of the language, read into the model.

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "policy/country_codes.h"
#include "policy/parse.h"
#include "policy/read_conditions.h"

namespace cordon::policy {
namespace parse_keys_test {

using std::chrono::hours;
using std::chrono::minutes;

/// The golden policy that holds every key.
const Policy& every_key() {
  static const PolicyPtr policy = [] {
    std::ifstream in(std::string(CORDON_SOURCE_DIR) + "/tests/unit/policy/golden/every_key.toml");
    std::ostringstream text;
    text << in.rdbuf();
    return parse({{"every_key.toml", text.str()}}, system_time_zones()).policy;
  }();
  return *policy;
}

const Rule& rule(const std::string& name) {
  for (const Rule& rule : every_key().rules)
    if (rule.name == name) return rule;
  throw std::out_of_range(name);
}

Timestamp at(const char* text) {
  return parse_rfc3339(text).value();
}

TEST(ParseKeys, DeviceClasses) {
  const DeviceClass& managed = every_key().device_classes.at("managed");
  EXPECT_EQ(managed.ownership, (std::set{Ownership::company, Ownership::vendor}));
  EXPECT_EQ(managed.tags, (std::set<std::string>{"laptop"}));
  EXPECT_EQ(managed.health_min, 7);
  EXPECT_EQ(managed.require, (std::set<std::string>{"edr", "os_updates"}));
  EXPECT_EQ(managed.attestation, Attestation::tpm);
  const DeviceClass& partner = every_key().device_classes.at("any-partner");
  EXPECT_FALSE(partner.health_min || partner.attestation);
}

TEST(ParseKeys, Segments) {
  const Segment& segment = every_key().segments.at("hr");
  EXPECT_EQ(segment.underlay, Underlay::closed);
  EXPECT_EQ(segment.mode, Mode::observe);
}

TEST(ParseKeys, EveryCondition) {
  const Rule& staff = rule("staff");
  EXPECT_EQ(staff.from.device_classes, (std::set<std::string>{"any-partner", "managed"}));
  const Conditions& when = staff.when;
  EXPECT_EQ(when.assurance, Assurance::aal2);
  EXPECT_EQ(when.auth_age_max, hours(8));
  EXPECT_EQ(when.trust_min, 70);
  EXPECT_EQ(when.health_min, 5);
  EXPECT_EQ(when.require, (std::set<std::string>{"edr", "os_updates"}));
  EXPECT_EQ(when.attestation, Attestation::software);
  EXPECT_EQ(when.valid_from, at("2025-12-31T16:00:00Z"));
  EXPECT_EQ(when.valid_until, at("2026-12-31T16:00:00Z"));
  EXPECT_EQ(when.source_networks.size(), 3u);
  EXPECT_EQ(when.countries, (std::set<std::string>{"JP", "TW"}));
  ASSERT_TRUE(when.hours);
  EXPECT_EQ(when.hours->zone->name(), "Asia/Taipei");
  EXPECT_EQ(when.hours->windows.size(), 4u);
  EXPECT_FALSE(staff.unless);
}

TEST(ParseKeys, AForbidsWhenAndUnless) {
  const Rule& forbid = rule("not-at-night");
  EXPECT_EQ(forbid.effect, Effect::forbid);
  EXPECT_TRUE(forbid.when.hours && forbid.when.valid_from && !forbid.when.valid_until);
  ASSERT_TRUE(forbid.unless);
  EXPECT_EQ(forbid.unless->assurance, Assurance::aal3);
  EXPECT_EQ(forbid.unless->auth_age_max, hours(1));
  EXPECT_EQ(forbid.unless->trust_min, 90);
  EXPECT_TRUE(forbid.responders);
}

TEST(ParseKeys, Settings) {
  const TrustSettings& trust = every_key().trust;
  EXPECT_EQ(trust.method, TrustMethod::hybrid);
  EXPECT_EQ(trust.health, (std::map<std::string, int>{{"edr", 5}, {"os_updates", 5}}));
  EXPECT_EQ(trust.weights.identity, 33);
  EXPECT_EQ(trust.weights.device, 33);
  EXPECT_EQ(trust.weights.behaviour, 34);
  EXPECT_EQ(trust.identity, (std::array{30, 60, 90}));
  EXPECT_EQ(trust.tpm_points, 10);
  EXPECT_EQ(trust.unattested_health_max, 9);
  EXPECT_EQ(trust.hysteresis_tenths, 2);
  EXPECT_EQ(every_key().sessions.reauthenticate, hours(8));
  EXPECT_EQ(every_key().sessions.idle, minutes(30));
  EXPECT_EQ(every_key().health.report_timeout, minutes(5));
  EXPECT_EQ(every_key().health.checks, (std::set<std::string>{"disk_encryption", "edr"}));
}

TEST(ParseKeys, DefaultsAreThePages) {
  const ParseResult none = parse({}, system_time_zones());
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none.policy->trust.method, TrustMethod::hybrid);
  EXPECT_EQ(none.policy->trust.health.at("os_updates"), 4);
  EXPECT_EQ(none.policy->trust.unattested_health_max, 10);
  EXPECT_EQ(none.policy->sessions.reauthenticate, hours(12));
  EXPECT_EQ(none.policy->sessions.idle, hours(1));
  EXPECT_EQ(none.policy->health.report_timeout, minutes(10));
}

TEST(ParseKeys, ATestWithEverything) {
  const PolicyTest& test = every_key().tests.at(1);
  EXPECT_EQ(test.name, "ann from home");
  EXPECT_EQ(test.user, "ann@acme.example");
  ASSERT_TRUE(test.session);
  EXPECT_EQ(test.session->assurance, Assurance::aal2);
  EXPECT_EQ(test.session->claims, (std::set<std::string>{"corp:staff"}));
  EXPECT_EQ(test.session->authenticated_at, at("2026-01-05T02:00:00Z"));
  EXPECT_EQ(test.session->device.value, "ann-laptop");
  ASSERT_EQ(test.session->signals.size(), 1u);
  EXPECT_EQ(test.session->signals[0], (Signal{"new_country", 20, at("2026-01-06T00:00:00Z")}));
  EXPECT_EQ(test.device.checks, (std::set<std::string>{"disk_encryption", "edr", "os_updates"}));
  EXPECT_EQ(test.device.attestation, Attestation::tpm);
  EXPECT_EQ(test.device.source->to_string(), "198.51.100.7");
  EXPECT_EQ(test.device.country, "TW");
  EXPECT_EQ(test.device.addresses.v6.to_string(), "fd00::1");
  EXPECT_EQ(test.target.id.value, "hr-1");
  EXPECT_EQ(test.target.checks, std::set<std::string>{}) << "it reports, and fails them all";
  EXPECT_EQ(test.segment, "hr");
  EXPECT_EQ(test.service, "web");
  EXPECT_EQ(test.at, at("2026-01-05T02:30:00Z"));
  EXPECT_EQ(test.expect, Verdict::allow);
  EXPECT_EQ(test.rule, "staff");
}

TEST(ParseKeys, ATestWithLittle) {
  const PolicyTest& test = every_key().tests.at(0);
  EXPECT_FALSE(test.session) << "the machine itself";
  EXPECT_FALSE(test.device.checks || test.device.ownership || test.device.country);
  EXPECT_EQ(test.target.ownership, Ownership::company);
  EXPECT_FALSE(test.target.checks);
  EXPECT_FALSE(test.service || test.rule);
  EXPECT_EQ(test.accesses, (std::vector<Access>{{.protocol = kTcp, .ports = {22, 22}}}));
  EXPECT_EQ(test.at, at("2026-01-05T10:00:00Z"));
}

TEST(ParseKeys, ATestWithoutATimeIsAskedJustAfterItsLogin) {
  const ParseResult result = parse(
      {{"p.toml",
        "[segments.s]\nmembers = ['tag:t']\n[[test]]\nname = 't'\nwho = { user = 'u', authenticated_at = "
        "'2026-03-01T08:00:00Z' }\naccess = 's tcp/1'\nexpect = 'deny'\n"}},
      system_time_zones());
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result.policy->tests.at(0).at, at("2026-03-01T08:00:01Z"));
}

// P11.
TEST(ParseHours, DaysAndWindows) {
  const auto window = [](const char* text) { return parse_hours(text).value_or(HoursWindow{}); };
  EXPECT_EQ(window("Mon-Fri 08:00-18:00"), (HoursWindow{.days = 0b0011111, .start = 480, .end = 1080}));
  EXPECT_EQ(window("Fri-Mon 00:00-23:59"), (HoursWindow{.days = 0b1110001, .start = 0, .end = 1439}));
  EXPECT_EQ(window("Sat,Sun 22:00-06:00"), (HoursWindow{.days = 0b1100000, .start = 1320, .end = 360}));
  EXPECT_EQ(window("* 00:00-00:00"), (HoursWindow{.days = 0b1111111, .start = 0, .end = 0}));
  EXPECT_EQ(window("Wed-Wed 00:00-00:01").days, 0b0000100) << "one day";
  EXPECT_EQ(window("Tue-Mon 00:00-00:01").days, 0b1111111) << "all of them";
  EXPECT_EQ(window("  Mon, Wed-Thu\t08:00-18:00 ").days, 0b0001101) << "blanks around items";
  EXPECT_EQ(window("Mon,Mon-Tue 08:00-18:00").days, 0b0000011) << "twice is once";
}

TEST(ParseHours, RefusesEverythingElse) {
  for (const char* text : {"",
                           " ",
                           "Mon",
                           "08:00-18:00",
                           "Mon 08:00",
                           "Mon 08:00-",
                           "Mon -18:00",
                           "Mon 8:00-18:00",
                           "Mon 08:00-24:00",
                           "Mon 08:60-18:00",
                           "Mon 08:00 - 18:00",
                           "Mon 08.00-18.00",
                           "mon 08:00-18:00",
                           "Mon- 08:00-18:00",
                           "-Fri 08:00-18:00",
                           "Mon--Fri 08:00-18:00",
                           ",Mon 08:00-18:00",
                           "Mon-Fri-Sun 08:00-18:00",
                           "** 08:00-18:00",
                           "Mon 08:00-18:00 UTC",
                           "Mon 0a:00-18:00",
                           "Mon 08:00-18:000"})
    EXPECT_FALSE(parse_hours(text)) << text;
}

TEST(CountryCodes, AreThoseOfTheList) {
  for (const char* code : {"AD", "TW", "ZW", "GB", "AX", "XK"})
    EXPECT_EQ(is_country_code(code), code != std::string("XK"));
  for (const char* text : {"", "T", "TWN", "tw", "UK", "ZZ", "A1", "  "})
    EXPECT_FALSE(is_country_code(text)) << text;
  int count = 0;
  for (char a = 'A'; a <= 'Z'; ++a)
    for (char b = 'A'; b <= 'Z'; ++b) count += is_country_code(std::string{a, b});
  EXPECT_EQ(count, 249);
}

}  // namespace parse_keys_test
}  // namespace cordon::policy
