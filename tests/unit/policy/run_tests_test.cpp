// A policy's own [[test]]s.

#include "policy/run_tests.h"

#include <gtest/gtest.h>

#include "policy/bound_tests.h"
#include "tests/support/world_builder.h"

namespace cordon::test {
namespace run_tests_test {

using policy::bound_tests;
using policy::ParseResult;
using policy::run_tests;
using policy::TestResult;
using policy::Verdict;

constexpr const char* kPolicy = R"([groups]
traders = { users = ["trader"] }
vendors = { users = ["vendor"] }
[segments.settlement]
members = ["tag:shared", "tag:settlement"]
[segments.settlement.services]
ledger = ["tcp/5432", "udp/1-9"]
wide   = ["any"]
all-of-tcp = ["tcp"]
[segments.other]
members = ["tag:shared"]
[segments.fixed]
members = ["device:laptop", "device:vault"]
[segments.fixed.services]
door = ["tcp/443"]
[[allow]]
name = "traders"
from = { groups = ["traders"] }
to = ["settlement/ledger", "fixed/door"]
when = { assurance = "aal2", auth_age_max = "12h" }
[[allow]]
name = "everything-by-tcp"
from = { users = ["tcp"] }
to = ["settlement tcp/1-65535"]
[[allow]]
name = "machines"
from = { segments = ["settlement"] }
to = ["settlement udp/1-9"]
[[forbid]]
name = "vendors-never"
from = { groups = ["vendors"] }
to = ["settlement/*"]
[[forbid]]
name = "no-shared"
from = { users = ["tcp"] }
to = ["other any"]
)";

class RunTests : public testing::Test {
 protected:
  /// The result of the one test that these lines are.
  static TestResult run(const std::string& lines) {
    const auto results = run_tests(policy_of({{"p.toml", kPolicy + ("[[test]]\nname = \"t\"\n" + lines)}}));
    EXPECT_EQ(results.size(), 1u);
    return results.at(0);
  }
  static bool passes(const std::string& lines) {
    const TestResult result = run(lines);
    EXPECT_EQ(result.passed, result.why.empty());
    return result.passed;
  }
};

/// `rules` rules, as many tests, and a service of `ports` single ports that the first test asks for.
std::vector<SourceFile> bulky(int rules, int tests, int ports) {
  std::string text = "[segments.s]\nmembers = [\"tag:s\"]\n[segments.s.services]\nwide = [";
  for (int i = 1; i <= ports; ++i) text += fmt::format("\"tcp/{}\",", i);
  text += "]\n";
  for (int i = 0; i < rules; ++i)
    text +=
        fmt::format("[[allow]]\nname = \"r{}\"\nfrom = {{ tags = [\"t{}\"] }}\nto = [\"s/wide\"]\n", i, i);
  for (int i = 0; i < tests; ++i)
    text += fmt::format(
        "[[test]]\nname = \"t{}\"\nwho = {{ device = {{ tags = [\"t0\"] }} }}\naccess = \"s/wide\"\n"
        "expect = \"allow\"\n",
        i);
  return {{"bulky.toml", text}};
}

TEST(BoundTests, WhatTakesSecondsIsRefusedAtTheFirstTest) {
  const auto bounded = [](const std::vector<SourceFile>& files) {
    ParseResult parsed = policy::parse(files, system_time_zones());
    EXPECT_TRUE(parsed.ok()) << (parsed.diagnostics.empty() ? ""
                                                            : policy::render(parsed.diagnostics.front()));
    bound_tests(parsed);
    return parsed;
  };
  EXPECT_TRUE(bounded(bulky(1'000, 1'000, 1)).ok());
  const ParseResult many = bounded(bulky(5'000, 5'000, 1));
  ASSERT_FALSE(many.ok());
  EXPECT_EQ(policy::render(many.diagnostics.back()),
            "bulky.toml:20005:1: error: the 5000 tests ask 5000 questions of 5000 rules: too much to run at "
            "each apply; keep the tests that tell rules apart, and ask for one port of a wide service");
  EXPECT_FALSE(bounded(bulky(1, 1, 65'500)).ok()) << "one wide service";
}

TEST_F(RunTests, PassWhenEveryAccessHasTheVerdict) {
  EXPECT_TRUE(passes(R"(
who = { user = "trader", assurance = "aal2", authenticated_at = "2026-01-05T10:00:00Z" }
access = "settlement/ledger"
expect = "allow"
rule = "traders"
)"));
}

TEST_F(RunTests, FailWithWhatWasFoundAndWhy) {
  const TestResult result = run(R"(
who = { user = "trader", assurance = "aal1" }
access = "settlement/ledger"
expect = "allow"
)");
  EXPECT_FALSE(result.passed);
  EXPECT_EQ(result.found, Verdict::deny);
  EXPECT_EQ(result.rule, "");
  EXPECT_EQ(result.access, "tcp/5432");
  EXPECT_EQ(result.why,
            "expected allow, found deny for tcp/5432: \"traders\" needs assurance aal2, found aal1, "
            "auth_age_max 12h, found missing");
  const auto diagnostics = policy::failures({result});
  ASSERT_EQ(diagnostics.size(), 1u);
  EXPECT_EQ(render(diagnostics[0]), "p.toml:37:1: error: test \"t\" fails: " + result.why);
}

TEST_F(RunTests, FailWhenAnotherRuleDecides) {
  const TestResult result = run(R"(
who = { user = "vendor" }
access = "settlement/ledger"
expect = "forbid"
rule = "no-shared"
)");
  EXPECT_FALSE(result.passed);
  EXPECT_EQ(result.why, "expected forbid by \"no-shared\", found forbid by \"vendors-never\" for tcp/5432");
}

TEST_F(RunTests, FailWhenNoRuleSpeaksOfIt) {
  EXPECT_EQ(run(R"(
who = { user = "clerk" }
access = "settlement tcp/22"
expect = "allow"
)")
                .why,
            "expected allow, found deny for tcp/22: no rule speaks of it");
}

TEST_F(RunTests, TheDeviceAsksForItselfWhenThereIsNoUser) {
  const std::string who = "who = { device = { tags = [\"settlement\"] } }\n";
  EXPECT_TRUE(passes(who + "access = \"settlement udp/5\"\nexpect = \"allow\"\nrule = \"machines\"\n"));
  EXPECT_FALSE(passes(who + "access = \"settlement/ledger\"\nexpect = \"allow\"\n")) << "tcp isn't";
}

TEST_F(RunTests, TheTargetIsAMemberOfThatSegmentAndOfAsFewAsCanBe) {
  // By its first tag it would be a member of "other" too, which that user may not reach.
  EXPECT_TRUE(passes(R"(
who = { user = "tcp" }
access = "settlement tcp/22"
expect = "allow"
)"));
  EXPECT_TRUE(passes(R"(
who = { user = "tcp" }
target = { tags = ["shared"] }
access = "settlement tcp/22"
expect = "forbid"
)"));
}

TEST_F(RunTests, ASegmentOfNamedDevicesGivesTheTargetItsId) {
  const std::string who =
      R"(who = { user = "trader", assurance = "aal2", authenticated_at = "2026-01-05T09:00:00Z", device = { id = "laptop" } }
at = "2026-01-05T10:00:00Z"
)";
  EXPECT_TRUE(passes(who + "access = \"fixed/door\"\nexpect = \"allow\"\n"));
  EXPECT_TRUE(passes(who + "access = \"fixed/door\"\nexpect = \"deny\"\ntarget = { isolated = true }\n"));
}

TEST_F(RunTests, AnyIsAskedByProtocolsOfEveryKind) {
  EXPECT_FALSE(passes("who = { user = \"tcp\" }\naccess = \"settlement/wide\"\nexpect = \"allow\"\n"));
  EXPECT_TRUE(passes("who = { user = \"tcp\" }\naccess = \"settlement/all-of-tcp\"\nexpect = \"allow\"\n"));
}

TEST_F(RunTests, ConditionsGoByTheTestsTime) {
  const auto lines = [](const char* at) {
    return fmt::format(R"(
who = {{ user = "trader", assurance = "aal3", authenticated_at = "2026-01-05T08:00:00Z" }}
at = "{}"
access = "settlement/ledger"
expect = "allow"
)",
                       at);
  };
  EXPECT_TRUE(passes(lines("2026-01-05T20:00:00Z")));
  EXPECT_FALSE(passes(lines("2026-01-05T20:00:01Z")));
}

}  // namespace run_tests_test
}  // namespace cordon::test
