// P4 to P6: health in tenths, trust in percent, exact until one rounding.

#include "policy/trust.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <tuple>

#include "policy/conditions.h"
#include "tests/support/world_builder.h"

namespace cordon::test {
namespace trust_test {

using policy::Assurance;
using policy::Attestation;
using policy::Device;
using policy::Policy;
using policy::Session;
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::minutes;

constexpr std::array kChecks{"os_updates", "antivirus_updates", "application_updates",
                             "configuration"};  // A B C D

/// "AD": os_updates and configuration pass.
std::set<std::string> checks(std::string_view letters) {
  std::set<std::string> out;
  for (const char letter : letters) out.insert(kChecks.at(static_cast<std::size_t>(letter - 'A')));
  return out;
}

Device device(std::string_view letters) {
  Device device;
  device.checks = checks(letters);
  return device;
}

Session session(Assurance assurance, Timestamp login = kNow) {
  Session session;
  session.assurance = assurance;
  session.authenticated_at = login;
  return session;
}

TEST(Health, P4_IsTheSumOfTheWeightsThatPass) {
  const Policy policy;
  EXPECT_EQ(health_of(policy, device("AD")), 5) << "D001";
  EXPECT_EQ(health_of(policy, device("CD")), 3) << "D002";
  EXPECT_EQ(health_of(policy, device("ABC")), 9) << "D003";
  EXPECT_EQ(health_of(policy, device("D")), 1) << "D004";
}

TEST(Health, P4_AllSixteenSubsets) {
  const Policy policy;
  constexpr std::array kTenths{4, 3, 2, 1};
  for (unsigned subset = 0; subset < 16; ++subset) {
    Device device;
    device.checks.emplace();
    int expected = 0;
    for (unsigned check = 0; check < 4; ++check)
      if (subset >> check & 1) {
        device.checks->insert(kChecks[check]);
        expected += kTenths[check];
      }
    EXPECT_EQ(health_of(policy, device), expected) << subset;
    // Met at equality, by one tenth less, and not by one more.
    for (int least = 0; least <= 10; ++least) {
      policy::Rule rule;
      rule.when.health_min = least;
      EXPECT_EQ(holds(policy, rule, {.device = &device}, kNow), expected >= least) << subset << " " << least;
    }
  }
}

TEST(Health, P4_AHealthOfNineTenthsAdmitsD003) {
  const auto policy = policy_of({{"p.toml", R"(
[segments.s]
members = ["tag:s"]
[[allow]]
name = "a"
from = { tags = ["t"] }
to = ["s tcp/1"]
when = { health_min = 0.9 }
)"}});
  for (const auto& [letters, admitted] :
       {std::tuple("AD", false), {"CD", false}, {"ABC", true}, {"D", false}}) {
    const Device asking = device(letters);
    EXPECT_EQ(holds(*policy, policy->rules.at(0), {.device = &asking}, kNow), admitted) << letters;
  }
}

TEST(Health, P4_ADeviceThatHasNotReportedHasNone) {
  EXPECT_EQ(health_of(Policy{}, Device{}), std::nullopt);
  EXPECT_EQ(health_of(Policy{}, device("")), 0) << "reported, and failed all";
}

TEST(Health, P4_UnknownChecksCountNothingAndWeightsAreThePolicys) {
  Policy policy;
  policy.trust.health = {{"os_updates", 3}, {"disk_encryption", 7}};
  Device asking;
  asking.checks = {"disk_encryption", "configuration", "never-heard-of"};
  EXPECT_EQ(health_of(policy, asking), 7);
}

TEST(Health, P4_IsLimitedUnlessATpmAttestsIt) {
  Policy policy;
  policy.trust.unattested_health_max = 7;
  Device asking = device("ABCD");
  EXPECT_EQ(health_of(policy, asking), 7);
  asking.attestation = Attestation::software;
  EXPECT_EQ(health_of(policy, asking), 7);
  asking.attestation = Attestation::tpm;
  EXPECT_EQ(health_of(policy, asking), 10);
  asking = device("AC");
  EXPECT_EQ(health_of(policy, asking), 6) << "under the limit it is what it is";
}

TEST(Trust, P5_TheExampleOfThePage) {
  const Session login = session(Assurance::aal3);
  EXPECT_EQ(trust_of(Policy{}, std::nullopt, device("ABC"), &login, kNow), 96);
}

TEST(Trust, P5_IsMissingWhereAFactIs) {
  const Policy policy;
  Session login = session(Assurance::aal3);
  EXPECT_EQ(trust_of(policy, std::nullopt, Device{}, &login, kNow), std::nullopt) << "no report";
  EXPECT_EQ(trust_of(policy, std::nullopt, device("A"), nullptr, kNow), std::nullopt)
      << "nobody is logged in";
  login.authenticated_at.reset();
  EXPECT_EQ(trust_of(policy, hours(1), device("A"), &login, kNow), std::nullopt) << "an age is needed";
  EXPECT_TRUE(trust_of(policy, std::nullopt, device("A"), &login, kNow)) << "no age is needed";
  login.authenticated_at = kNow + microseconds(1);
  EXPECT_EQ(trust_of(policy, hours(1), device("A"), &login, kNow), std::nullopt) << "it is yet to come";
  login.assurance.reset();
  EXPECT_EQ(trust_of(policy, std::nullopt, device("A"), &login, kNow), std::nullopt) << "no assurance";
}

TEST(Trust, P5_IsRoundedOnceHalfUp) {
  Policy policy;
  policy.trust.weights = {.identity = 50, .device = 50, .behaviour = 0};
  policy.trust.identity = {41, 70, 100};
  Session login = session(Assurance::aal1);
  EXPECT_EQ(trust_of(policy, std::nullopt, device(""), &login, kNow), 21) << "20.5";
  policy.trust.weights = {.identity = 33, .device = 33, .behaviour = 34};
  policy.trust.identity = {40, 70, 100};
  EXPECT_EQ(trust_of(policy, std::nullopt, device("A"), &login, kNow), 60) << "13.2 + 13.2 + 34 = 60.4";
  // Three parts that would each round up: 0.4 x 40 = 16, decayed by 2399/3600 etc.; only the sum is rounded.
  policy.trust.weights = {.identity = 40, .device = 40, .behaviour = 20};
  login.authenticated_at = kNow - minutes(45);
  EXPECT_EQ(trust_of(policy, hours(1), device("ABCD"), &login, kNow), 72) << "16 x 3/4 + 40 + 20";
}

TEST(Trust, P6_EachLevelHasItsScore) {
  const Policy policy;
  const Device asking = device("ABCD");
  for (const auto& [level, expected] :
       {std::tuple(Assurance::aal1, 16 + 60), {Assurance::aal2, 28 + 60}, {Assurance::aal3, 40 + 60}}) {
    const Session login = session(level);
    EXPECT_EQ(trust_of(policy, std::nullopt, asking, &login, kNow), expected);
  }
}

TEST(Trust, P6_IdentityFallsFromHalfTheAgeToHalfAtTheWhole) {
  Policy policy;
  policy.trust.weights = {.identity = 100, .device = 0, .behaviour = 0};
  const auto at_age = [&](Seconds age) {
    const Session login = session(Assurance::aal3, kNow - age);
    return trust_of(policy, hours(1), device("A"), &login, kNow);
  };
  EXPECT_EQ(at_age(Seconds(0)), 100);
  EXPECT_EQ(at_age(minutes(30)), 100) << "full at half the age";
  EXPECT_EQ(at_age(minutes(30) + Seconds(18)), 100) << "99.5 rounds up";
  EXPECT_EQ(at_age(minutes(30) + Seconds(19)), 99) << "99.47";
  EXPECT_EQ(at_age(minutes(45)), 75);
  EXPECT_EQ(at_age(hours(1)), 50);
  EXPECT_EQ(at_age(hours(9)), 50) << "past the whole as at the whole";
}

TEST(Trust, P5_AgesAreWholeSeconds) {
  Policy policy;
  policy.trust.weights = {.identity = 100, .device = 0, .behaviour = 0};
  const Session login = session(Assurance::aal3, kNow);
  const auto trust = [&](Timestamp at) { return trust_of(policy, Seconds(2), device("A"), &login, at); };
  EXPECT_EQ(trust(kNow + Seconds(2) - microseconds(1)), 100) << "an age of 1 s is half of 2 s";
  EXPECT_EQ(trust(kNow + Seconds(2)), 50);
}

TEST(Trust, P6_TheDeviceScoreIsHealthAndWhatATpmAdds) {
  Policy policy;
  policy.trust.weights = {.identity = 0, .device = 100, .behaviour = 0};
  policy.trust.tpm_points = 15;
  const Session login = session(Assurance::aal1);
  Device asking = device("AB");
  EXPECT_EQ(trust_of(policy, std::nullopt, asking, &login, kNow), 70);
  asking.attestation = Attestation::software;
  EXPECT_EQ(trust_of(policy, std::nullopt, asking, &login, kNow), 70);
  asking.attestation = Attestation::tpm;
  EXPECT_EQ(trust_of(policy, std::nullopt, asking, &login, kNow), 85);
  asking.checks = checks("ABC");
  EXPECT_EQ(trust_of(policy, std::nullopt, asking, &login, kNow), 100) << "capped";
}

TEST(Trust, P6_SignalsTakeFromBehaviourUntilTheyEnd) {
  Policy policy;
  policy.trust.weights = {.identity = 0, .device = 0, .behaviour = 100};
  Session login = session(Assurance::aal1);
  login.signals = {{.name = "new country", .cost = 30, .until = kNow + minutes(5)},
                   {.name = "denied attempts", .cost = 80, .until = kNow + minutes(9)},
                   {.name = "impossible travel", .cost = 5, .until = kNever}};
  const auto trust = [&](Timestamp at) { return trust_of(policy, std::nullopt, device("A"), &login, at); };
  EXPECT_EQ(trust(kNow), 0) << "never under 0";
  EXPECT_EQ(trust(kNow + minutes(5) - microseconds(1)), 0);
  EXPECT_EQ(trust(kNow + minutes(5)), 15);
  EXPECT_EQ(trust(kNow + minutes(9)), 95);
}

/// Against rational arithmetic done in another way: long double with room to spare.
TEST(Trust, P5_IsExactForEveryAge) {
  Policy policy;
  policy.trust.weights = {.identity = 37, .device = 41, .behaviour = 22};
  Session login = session(Assurance::aal2);
  login.signals = {{.name = "odd", .cost = 13, .until = kNever}};
  constexpr int kLongest = 997;
  for (int age = 0; age <= kLongest + 3; ++age) {
    const int counted = std::min(age, kLongest);
    long double identity = 70;
    if (2 * counted > kLongest) identity = 70.0L * (3 * kLongest - 2 * counted) / (2 * kLongest);
    const long double sum = (37 * identity + 41 * 70 + 22 * 87) / 100;
    EXPECT_EQ(trust_of(policy, Seconds(kLongest), device("AB"), &login, kNow + Seconds(age)),
              static_cast<int>(std::floor(sum + 0.5L + 1e-12L)))
        << age;
  }
}

class TrustInTime : public testing::Test {
 protected:
  /// The plain way: second by second, and at both sides of every second.
  Timestamp scan(int least, bool falls) const {
    for (std::int64_t s = 1; s <= 4000; ++s) {
      const Timestamp at = kNow + Seconds(s);
      const auto trust = trust_of(policy, longest, asking, &login, at);
      if (trust && (*trust >= least) != falls) return at;
    }
    return kNever;
  }

  Policy policy;
  Device asking = device("ABC");
  Session login = session(Assurance::aal3);
  std::optional<Seconds> longest = hours(1);
};

TEST_F(TrustInTime, P7_FallsUnderAtTheFirstSecond) {
  for (int least = 0; least <= 96; ++least)
    EXPECT_EQ(trust_falls_under(policy, least, longest, asking, login, kNow), scan(least, true)) << least;
  EXPECT_EQ(trust_falls_under(policy, 96, longest, asking, login, kNow), kNow + minutes(30) + Seconds(46))
      << "at 95.49, 46 s after half an hour";
  EXPECT_EQ(trust_falls_under(policy, 77, longest, asking, login, kNow), kNow + minutes(59) + Seconds(16));
  EXPECT_EQ(trust_falls_under(policy, 76, longest, asking, login, kNow), kNever) << "76 is the least it gets";
}

TEST_F(TrustInTime, P7_NeverFallsWithoutAnAge) {
  EXPECT_EQ(trust_falls_under(policy, 96, std::nullopt, asking, login, kNow), kNever);
}

TEST_F(TrustInTime, P7_FallsInAMicrosecondOfItsOwnWhenTheLoginWasNotOnASecond) {
  login.authenticated_at = kNow - microseconds(250'000);
  EXPECT_EQ(trust_falls_under(policy, 96, longest, asking, login, kNow),
            kNow + minutes(30) + Seconds(46) - microseconds(250'000));
}

TEST_F(TrustInTime, P7_SignalsThatEndLiftItBetween) {
  login.signals = {{.name = "a", .cost = 20, .until = kNow + minutes(35)},
                   {.name = "b", .cost = 10, .until = kNow + minutes(59)}};
  for (int least = 0; least <= 90; ++least) {
    ASSERT_EQ(trust_of(policy, longest, asking, &login, kNow), 90);
    EXPECT_EQ(trust_falls_under(policy, least, longest, asking, login, kNow), scan(least, true)) << least;
  }
  for (int least = 91; least <= 100; ++least)
    EXPECT_EQ(trust_rises_to(policy, least, longest, asking, login, kNow), scan(least, false)) << least;
}

TEST_F(TrustInTime, P7_RisesWithALoginThatIsYetToCome) {
  login.authenticated_at = kNow + minutes(2);
  EXPECT_EQ(trust_rises_to(policy, 96, longest, asking, login, kNow), kNow + minutes(2));
  EXPECT_EQ(trust_rises_to(policy, 97, longest, asking, login, kNow), kNever);
}

TEST_F(TrustInTime, P7_StaysMissing) {
  asking.checks.reset();
  EXPECT_EQ(trust_rises_to(policy, 0, longest, asking, login, kNow), kNever);
}

}  // namespace trust_test
}  // namespace cordon::test
