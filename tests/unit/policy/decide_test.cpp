// Answer lines, byte for byte as POLICY.md shows them.

#include "policy/decide.h"

#include <gtest/gtest.h>

#include "tests/support/world_builder.h"

namespace cordon::test {
namespace decide_test {

using policy::Facts;

/// The page's own policy and facts.
constexpr const char* kPolicy = R"(
[groups]
traders = { users = ["trader@acme.example"], claims = ["corp:trading"] }
vendors = { users = ["consultant@vendor.example"] }

[device_classes]
managed = { ownership = ["company"], health_min = 0.7, require = ["os_updates"] }

[segments.settlement]
members     = ["tag:settlement"]
sensitivity = "high"
[segments.settlement.services]
ledger = ["tcp/5432"]
web    = ["tcp/443", "udp/443", "tcp/8000-8099"]
echo   = ["ping"]
[segments.lab]
members = ["tag:lab"]
mode = "observe"

[[allow]]
name = "traders-to-ledger"
from = { groups = ["traders"], devices = ["managed"] }
to   = ["settlement/ledger"]
when = { assurance = "aal3", auth_age_max = "12h", trust_min = 75, hours = "Mon-Fri 08:00-18:00", timezone = "Asia/Taipei", countries = ["TW"] }
lease = "15m"

[[allow]]
name = "traders-ping-by-v4"
from = { groups = ["traders"] }
to   = ["settlement icmp/8"]

[[forbid]]
name = "vendors-never-reach-settlement"
from = { groups = ["vendors"] }
to   = ["settlement/*"]

[[forbid]]
name   = "settlement-wants-strong-login"
from   = { groups = ["traders"] }
to     = ["settlement/*"]
unless = { assurance = "aal3", health_min = 0.7 }
)";

constexpr const char* kFacts = R"({ "at": "2026-01-05T10:00:00+08:00",
  "devices":  [ { "id": "ledger-1", "tags": ["settlement"], "ownership": "company",
                  "checks": ["os_updates","antivirus_updates","application_updates","configuration"],
                  "attestation": "tpm", "source": "203.0.113.7", "country": "TW", "isolated": false,
                  "addresses": ["100.64.0.10", "fd00:c0de::10"] },
                { "id": "trader-laptop", "tags": [], "ownership": "company",
                  "checks": ["os_updates","antivirus_updates","application_updates"],
                  "attestation": "software", "source": "198.51.100.20", "country": "TW",
                  "addresses": ["100.64.0.20", "fd00:c0de::20"] },
                { "id": "lab-1", "tags": ["lab"] } ],
  "sessions": [ { "id": "s1", "user": "trader@acme.example", "claims": ["corp:trading"], "device": "trader-laptop",
                  "assurance": "aal3", "authenticated_at": "2026-01-05T08:10:00+08:00", "ends_at": "2026-01-05T20:00:00+08:00",
                  "signals": [], "addresses": ["100.64.1.1", "fd00:c0de::1:1"] },
                { "id": "weak", "user": "trader@acme.example", "device": "trader-laptop", "assurance": "aal1",
                  "authenticated_at": "2026-01-05T09:59:00+08:00" },
                { "id": "vendor", "user": "consultant@vendor.example", "device": "trader-laptop" } ],
  "queries":  [ { "principal": "%", "target": "%", "access": "%" } ] }
)";

class Decide : public testing::Test {
 protected:
  Facts facts(const std::string& principal, const std::string& target, const std::string& access) const {
    std::string text = kFacts;
    for (const std::string& word : {principal, target, access}) text.replace(text.find('%'), 1, word);
    auto result = policy::read_facts({"facts.json", text}, policy);
    for (const auto& diagnostic : result.diagnostics) ADD_FAILURE() << render(diagnostic);
    return std::move(result.facts).value();
  }
  std::string line(const std::string& principal, const std::string& target, const std::string& access) const {
    const Facts asked = facts(principal, target, access);
    return answer_line(asked.queries.at(0), decide(asked.world, asked.queries[0], asked.at.value()),
                       asked.offset);
  }

  policy::PolicyPtr policy = policy_of({{"policy.toml", kPolicy}});
};

TEST_F(Decide, TheExampleOfThePage) {
  EXPECT_EQ(line("s1", "ledger-1", "tcp/5432"),
            R"({"principal":"s1","target":"ledger-1","access":"tcp/5432","verdict":"allow",)"
            R"("rule":"traders-to-ledger","deadline":"2026-01-05T10:15:00+08:00","health":9,"trust":96,)"
            R"("because":[{"rule":"traders-to-ledger","holds":true,"failed":[]}]})");
}

TEST_F(Decide, AForbid) {
  EXPECT_EQ(line("vendor", "ledger-1", "tcp/443"),
            R"({"principal":"vendor","target":"ledger-1","access":"tcp/443","verdict":"forbid",)"
            R"("rule":"vendors-never-reach-settlement","deadline":null,"health":9,"trust":null,)"
            R"("because":[{"rule":"vendors-never-reach-settlement","holds":true,"failed":[]}]})");
}

TEST_F(Decide, WhatFailedIsTold) {
  EXPECT_EQ(line("weak", "ledger-1", "tcp/5432"),
            R"({"principal":"weak","target":"ledger-1","access":"tcp/5432","verdict":"forbid",)"
            R"("rule":"settlement-wants-strong-login","deadline":null,"health":9,"trust":72,)"
            R"("because":[{"rule":"settlement-wants-strong-login","holds":true,"failed":[]},)"
            R"({"rule":"traders-to-ledger","holds":false,"failed":[)"
            R"({"condition":"assurance","needed":"aal3","found":"aal1"},)"
            R"({"condition":"trust_min","needed":"75","found":"72"}]}]})");
}

TEST_F(Decide, APlainDeny) {
  EXPECT_EQ(line("s1", "ledger-1", "tcp/22"),
            R"({"principal":"s1","target":"ledger-1","access":"tcp/22","verdict":"deny","rule":null,)"
            R"("deadline":null,"health":9,"trust":96,"because":[]})");
}

TEST_F(Decide, UnknownOnesAreDeniedWithThatReason) {
  EXPECT_EQ(line("nobody", "ledger-1", "tcp/22"),
            R"({"principal":"nobody","target":"ledger-1","access":"tcp/22","verdict":"deny","rule":null,)"
            R"("deadline":null,"health":null,"trust":null,"because":[],"reason":"unknown principal"})");
  EXPECT_TRUE(line("s1", "nothing", "tcp/22").ends_with(R"("because":[],"reason":"unknown target"})"));
}

TEST_F(Decide, ObservedIsToldOnlyWhenItIs) {
  EXPECT_EQ(line("ledger-1", "lab-1", "tcp/22"),
            R"({"principal":"ledger-1","target":"lab-1","access":"tcp/22","verdict":"deny","rule":null,)"
            R"("deadline":null,"health":10,"trust":null,"because":[],"observed":true})");
}

TEST_F(Decide, OfAPingBothFamiliesMustBeAllowed) {
  const auto verdict = [&](const char* access) {
    const Facts asked = facts("s1", "ledger-1", access);
    return decide(asked.world, asked.queries.at(0), asked.at.value()).verdict;
  };
  EXPECT_EQ(verdict("icmp/8"), policy::Verdict::allow);
  EXPECT_EQ(verdict("icmpv6/128"), policy::Verdict::deny);
  EXPECT_EQ(verdict("ping"), policy::Verdict::deny);
}

TEST_F(Decide, NamesAreEscaped) {
  EXPECT_TRUE(line(R"(a\"b)", "ledger-1", "tcp/1").starts_with(R"({"principal":"a\"b",)"));
}

TEST(FormatWithOffset, KeepsTheOffsetAndTheMoment) {
  using policy::format_with_offset;
  EXPECT_EQ(format_with_offset(kNow, "Z"), "2026-01-05T10:00:00Z");
  EXPECT_EQ(format_with_offset(kNow, "+00:00"), "2026-01-05T10:00:00+00:00");
  EXPECT_EQ(format_with_offset(kNow, "+08:00"), "2026-01-05T18:00:00+08:00");
  EXPECT_EQ(format_with_offset(kNow, "-10:30"), "2026-01-04T23:30:00-10:30");
  EXPECT_EQ(format_with_offset(kNow + std::chrono::microseconds(500'000), "+05:45"),
            "2026-01-05T15:45:00.5+05:45");
}

}  // namespace decide_test
}  // namespace cordon::test
