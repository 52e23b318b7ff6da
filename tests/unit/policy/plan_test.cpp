#include "policy/plan.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "policy/plan_words.h"
#include "tests/support/world_builder.h"

namespace cordon::policy {
namespace plan_test {

using test::kNow;
using test::policy_of;
using test::WorldBuilder;

constexpr const char* kSegments = R"(
[groups.traders]
users = ["trader@acme.example"]
[groups.vendors]
users = ["vendor@acme.example"]
[segments.settlement]
members = ["tag:settlement"]
[segments.settlement.services]
ledger = ["tcp/5432"]
web = ["tcp/443", "tcp/8000-8099"]
)";
constexpr const char* kAllow = R"(
[[allow]]
name = "traders-to-ledger"
from = { groups = ["traders"] }
to = ["settlement/ledger"]
)";

class PlanTest : public testing::Test {
 protected:
  void SetUp() override {
    world.device("ledger", {"settlement"});
    world.device("trader-laptop");
    world.device("vendor-laptop");
    world.session("s-trader", "trader@acme.example", "trader-laptop");
    world.session("s-vendor", "vendor@acme.example", "vendor-laptop");
    world.policy(std::string(kSegments) + kAllow);
  }

  Plan plan_to(const std::string& text) {
    const PolicyPtr next = policy_of({{"next.toml", text}});
    return plan(world.world(), *next, question, kNow);
  }
  static std::vector<std::string> lines(const Plan& plan) {
    std::vector<std::string> out;
    for (const PlanEntry& entry : plan.entries)
      for (std::string& line : lines_of(entry)) out.push_back(std::move(line));
    return out;
  }
  static std::vector<std::string> warnings(const Plan& plan, PlanWarning::Kind kind) {
    std::vector<std::string> out;
    for (const PlanWarning& warning : plan.warnings)
      if (warning.kind == kind) out.push_back(warning.text);
    return out;
  }

  WorldBuilder world;
  PlanQuestion question;
};

using Lines = std::vector<std::string>;

TEST_F(PlanTest, TheSamePolicyChangesNothing) {
  const Plan same = plan_to(std::string(kSegments) + kAllow);
  EXPECT_TRUE(same.changes_nothing());
  EXPECT_TRUE(same.entries.empty());
  EXPECT_TRUE(same.warnings.empty());
  EXPECT_EQ(in_words(same.totals), "nobody who is here now gains or loses access");
}

TEST_F(PlanTest, TellsWhoLosesWhatAndWhichFlowsAreCut) {
  question.live = {{.principal = SessionId("s-trader"), .target = DeviceId("ledger"), .port = 5432},
                   {.principal = SessionId("s-trader"), .target = DeviceId("ledger"), .port = 5432},
                   {.principal = SessionId("s-vendor"), .target = DeviceId("ledger"), .port = 5432},
                   {.principal = SessionId("s-gone"), .target = DeviceId("ledger"), .port = 5432}};
  const Plan without = plan_to(kSegments);
  EXPECT_EQ(lines(without), (Lines{"trader@acme.example on trader-laptop loses settlement/ledger tcp/5432; 2 "
                                   "live flows are cut"}));
  EXPECT_EQ(without.totals.flows_cut, 2u) << "what wasn't allowed before isn't cut by this";
  EXPECT_EQ(without.totals.people_losing, 1u);
  EXPECT_EQ(without.totals.losses, 1u);
  EXPECT_EQ(in_words(without.totals), "1 person loses access; 2 live flows are cut");
}

// P1.
TEST_F(PlanTest, AForbidIsNamedAsTheReason) {
  const Plan forbidden = plan_to(std::string(kSegments) + kAllow + R"(
[[forbid]]
name = "closed-for-audit"
from = { groups = ["traders"] }
to = ["settlement/*"]
)");
  EXPECT_EQ(lines(forbidden), (Lines{"trader@acme.example on trader-laptop loses settlement/ledger tcp/5432 "
                                     "(forbidden by \"closed-for-audit\")"}));
  EXPECT_EQ(warnings(forbidden, PlanWarning::Kind::nobody_reaches),
            (Lines{"nobody who is here now could reach settlement/ledger any more"}));
}

TEST_F(PlanTest, GainsAreByServiceAndPort) {
  const Plan more = plan_to(std::string(kSegments) + kAllow + R"(
[[allow]]
name = "web-too"
from = { groups = ["traders", "vendors"] }
to = ["settlement/web", "settlement tcp/22"]
)");
  EXPECT_EQ(lines(more),
            (Lines{"trader@acme.example on trader-laptop gains settlement tcp/22",
                   "trader@acme.example on trader-laptop gains settlement/web tcp/443, tcp/8000-8099",
                   "vendor@acme.example on vendor-laptop gains settlement tcp/22",
                   "vendor@acme.example on vendor-laptop gains settlement/web tcp/443, tcp/8000-8099"}));
  EXPECT_EQ(more.totals.gains, 4u);
  EXPECT_EQ(more.entries.size(), 1u) << "to both happens the same";
  EXPECT_EQ(more.entries[0].changes[0].rule, "web-too");
}

// P9: what is still allowed by another segment isn't lost.
TEST_F(PlanTest, ATargetInTwoSegmentsKeepsWhatEitherAllows) {
  const std::string other = R"(
[segments.databases]
members = ["tag:settlement"]
[[allow]]
name = "by-the-other"
from = { groups = ["traders"] }
to = ["databases tcp/5000-6000"]
)";
  const Plan moved = plan_to(kSegments + other);
  EXPECT_EQ(moved.totals.losses, 0u);
  EXPECT_EQ(lines(moved),
            (Lines{"trader@acme.example on trader-laptop gains databases tcp/5000-5431, tcp/5433-6000"}));
}

TEST_F(PlanTest, DevicesThatLeaveASegmentAreNamed) {
  world.device("ledger-2", {"spare"});
  const std::string both = R"(
[groups.traders]
users = ["trader@acme.example"]
[segments.settlement]
members = ["tag:settlement", "tag:spare"]
[segments.settlement.services]
ledger = ["tcp/5432"]
)";
  const Plan wider = plan_to(both + kAllow);
  EXPECT_EQ(lines(wider),
            (Lines{"trader@acme.example on trader-laptop gains settlement/ledger tcp/5432 at ledger-2"}));
}

TEST_F(PlanTest, MachinesActForThemselves) {
  const Plan machine = plan_to(std::string(kSegments) + kAllow + R"(
[[allow]]
name = "among-themselves"
from = { tags = ["settlement"] }
to = ["settlement/ledger"]
)");
  EXPECT_EQ(lines(machine), (Lines{"machine ledger gains settlement/ledger tcp/5432"}));
  EXPECT_EQ(in_words(machine.totals), "1 machine gains access");
}

TEST_F(PlanTest, ManyAreToldInOneLine) {
  std::string group = "[groups.many]\nusers = [\"trader@acme.example\"";
  for (int i = 0; i < 250; ++i) {
    const std::string user = fmt::format("u{:03}@acme.example", i);
    world.session(fmt::format("s-{:03}", i), user, "vendor-laptop");
    group += ", \"" + user + "\"";
  }
  group += "]\n[[allow]]\nname = \"many\"\nfrom = { groups = [\"many\"] }\nto = [\"settlement/ledger\"]\n";
  const Plan many = plan_to(std::string(kSegments) + kAllow + group);
  EXPECT_EQ(lines(many),
            (Lines{"250 gain settlement/ledger tcp/5432: u000@acme.example on vendor-laptop, "
                   "u001@acme.example on vendor-laptop, u002@acme.example on vendor-laptop and 247 more"}));
  EXPECT_EQ(many.totals.people_gaining, 250u);
}

TEST_F(PlanTest, WhatIsToldIsBoundedAndTheTotalsAreExact) {
  question.most_listed = 2;
  for (int i = 0; i < 20; ++i) world.device(fmt::format("more-{}", i), {"settlement"});
  const Plan cut = plan_to(kSegments);
  ASSERT_EQ(cut.entries.size(), 1u);
  EXPECT_EQ(cut.entries[0].changes[0].target_count, 21u);
  EXPECT_EQ(cut.entries[0].changes[0].targets.size(), 2u);
  EXPECT_EQ(cut.entries[0].principals.size(), 1u);
}

// I9.
TEST_F(PlanTest, WarnsWhoeverLocksThemselvesOut) {
  question.author = "u-trader@acme.example";
  EXPECT_EQ(
      warnings(plan_to(kSegments), PlanWarning::Kind::locks_out_author),
      (Lines{
          "this locks out its author: trader@acme.example on trader-laptop would reach nothing any more"}));
  question.controller_host = DeviceId("ledger");
  EXPECT_EQ(
      warnings(plan_to(kSegments), PlanWarning::Kind::locks_out_author),
      (Lines{"this locks out its author: trader@acme.example on trader-laptop could no longer reach the "
             "controller's host ledger as now"}));
  question.author = "vendor@acme.example";
  EXPECT_TRUE(warnings(plan_to(kSegments), PlanWarning::Kind::locks_out_author).empty());
  question.author = "";
  EXPECT_EQ(
      warnings(plan_to(kSegments), PlanWarning::Kind::locks_out_author),
      (Lines{"this may lock out its author, who isn't named: 1 login could no longer reach the controller's "
             "host ledger as now"}))
      << "root on the controller is no person";
}

TEST_F(PlanTest, WarnsWhenMoreOfASegmentIsOpenedToEverybody) {
  const auto open = [](const std::string& name, const std::string& to) {
    return "[[allow]]\nname = \"" + name + "\"\nfrom = { groups = [\"traders\", \"vendors\"] }\nto = [" + to +
           "]\n";
  };
  const std::string ping = std::string(kSegments) + kAllow + open("ping", "\"settlement ping\"");
  world.policy(ping);
  EXPECT_EQ(warnings(plan_to(ping + open("all", "\"settlement tcp/22\", \"settlement/ledger\"")),
                     PlanWarning::Kind::opens_to_everyone),
            (Lines{"allow \"all\" opens settlement tcp/22, settlement/ledger to every user (2 of 2)"}));
  EXPECT_TRUE(
      warnings(plan_to(ping + open("again", "\"settlement ping\"")), PlanWarning::Kind::opens_to_everyone)
          .empty())
      << "it is open already";
}

TEST_F(PlanTest, WarnsWhenASegmentIsOpenedToEverybody) {
  const std::string open = R"(
[[allow]]
name = "for-all"
from = { groups = ["traders", "vendors"] }
to = ["settlement any"]
when = { assurance = "aal2" }
)";
  const Plan opened = plan_to(std::string(kSegments) + kAllow + open);
  EXPECT_EQ(warnings(opened, PlanWarning::Kind::opens_to_everyone),
            (Lines{"allow \"for-all\" opens settlement to every user (2 of 2) (where its conditions hold)"}));
  EXPECT_EQ(warnings(opened, PlanWarning::Kind::opens_every_port),
            (Lines{"allow \"for-all\" opens every port of settlement (where its conditions hold)"}));
  world.policy(std::string(kSegments) + kAllow + open);
  EXPECT_TRUE(plan_to(std::string(kSegments) + kAllow + open).warnings.empty()) << "it was so before";
}

TEST_F(PlanTest, WarnsOfASegmentLeftWithoutRules) {
  EXPECT_EQ(warnings(plan_to(kSegments), PlanWarning::Kind::no_rules),
            (Lines{"no rule allows anything to segment settlement: it is closed to everybody"}));
}

// P9.
TEST_F(PlanTest, TellsWhatEnforcingWouldDrop) {
  const std::string observing = std::string(kSegments) + "[segments.lab]\nmembers = [\"tag:lab\"]\nmode = \"";
  const std::string rule =
      "\"\n[[allow]]\nname = \"lab-web\"\nfrom = { groups = [\"traders\"] }\nto = [\"lab tcp/443\"]\n";
  world.device("lab-1", {"lab"});
  world.policy(observing + "observe" + rule);
  const auto seen = [&](const char* user, const char* device, std::uint16_t port, std::uint64_t count) {
    question.observed.push_back({.person = SubjectId(fmt::format("u-{}", user)),
                                 .source = DeviceId(device),
                                 .target = DeviceId("lab-1"),
                                 .port = port,
                                 .count = count,
                                 .first = kNow,
                                 .last = kNow});
  };
  seen("trader@acme.example", "trader-laptop", 443, 9);
  seen("vendor@acme.example", "vendor-laptop", 443, 14);
  question.live = {{.principal = SessionId("s-vendor"), .target = DeviceId("lab-1"), .port = 443}};
  const Plan enforced = plan_to(observing + "enforce" + rule);
  EXPECT_EQ(
      warnings(enforced, PlanWarning::Kind::starts_enforcing),
      (Lines{"segment lab starts to enforce on 1 device: 14 flows that were recorded would be dropped"}));
  const auto warning =
      std::ranges::find(enforced.warnings, PlanWarning::Kind::starts_enforcing, &PlanWarning::kind);
  EXPECT_EQ(warning->lines,
            (Lines{"vendor@acme.example on vendor-laptop to lab-1 tcp/443: 14 flows, last 2026-01-05"}));
  EXPECT_EQ(enforced.totals.flows_cut, 1u) << "observed until now, dropped from then on";
}

// P9: no rule gives it to anybody, and everybody has it.
TEST_F(PlanTest, WarnsWhenASegmentBeginsToObserve) {
  const auto lab = [](const std::string& mode) {
    return std::string(kSegments) + kAllow + "[segments.lab]\nmembers = [\"tag:lab\"]\nmode = \"" + mode +
           "\"\n";
  };
  world.device("lab-1", {"lab"});
  world.policy(lab("enforce"));
  const Plan observing = plan_to(lab("observe"));
  EXPECT_EQ(warnings(observing, PlanWarning::Kind::starts_observing),
            (Lines{"segment lab only observes from now on: 1 device will accept whatever a known principal "
                   "sends, and report it"}));
  EXPECT_EQ(warnings(observing, PlanWarning::Kind::opens_underlay),
            (Lines{"the underlay of 1 device of segment lab goes from guard to open: their services can be "
                   "reached around the overlay"}));
  EXPECT_FALSE(observing.changes_nothing());
  EXPECT_EQ(in_words(observing.totals),
            "no rule gives or takes access; 1 device will accept everything and report it; the underlay of 1 "
            "device opens");
  world.policy(lab("observe"));
  EXPECT_TRUE(warnings(plan_to(lab("observe")), PlanWarning::Kind::starts_observing).empty()) << "as before";
}

TEST_F(PlanTest, WarnsWhenAnUnderlayOpens) {
  const auto lab = [](const std::string& underlay) {
    return std::string(kSegments) + kAllow + "[segments.lab]\nmembers = [\"tag:lab\"]\nunderlay = \"" +
           underlay + "\"\n";
  };
  world.device("lab-1", {"lab"});
  world.policy(lab("closed"));
  const Plan opened = plan_to(lab("guard"));
  EXPECT_EQ(warnings(opened, PlanWarning::Kind::opens_underlay),
            (Lines{"the underlay of 1 device of segment lab goes from closed to guard: more than answers can "
                   "reach them around the overlay"}));
  EXPECT_EQ(opened.totals.underlays_opened, 1u);
  world.policy(lab("guard"));
  EXPECT_TRUE(plan_to(lab("closed")).changes_nothing()) << "stricter";
}

// P7.
TEST_F(PlanTest, WhatStaysButEndsEarlierIsTold) {
  const auto when = [](const std::string& conditions) {
    return std::string(kSegments) +
           "[[allow]]\nname = \"traders-to-ledger\"\nfrom = { groups = [\"traders\"] }\nto = "
           "[\"settlement/ledger\"]\nwhen = { " +
           conditions + " }\n";
  };
  const auto shorter = plan_to(when(R"(hours = "Mon-Fri 08:00-12:00", timezone = "UTC")"));
  EXPECT_TRUE(shorter.changes_nothing());
  EXPECT_EQ(warnings(shorter, PlanWarning::Kind::ends_earlier),
            (Lines{"settlement/ledger tcp/5432 would end earlier for 1 person"}));
  EXPECT_EQ(shorter.warnings[0].lines, (Lines{"trader@acme.example on trader-laptop: until "
                                              "2026-01-05T12:00:00Z instead of 2026-01-05T18:00:00Z"}));
  const auto longer = plan_to(when(R"(valid_until = "2026-01-06T00:00:00Z")"));
  EXPECT_TRUE(longer.warnings.empty()) << "the session ends before that";

  const auto forbidden = plan_to(std::string(kSegments) + kAllow + R"(
[[forbid]]
name = "nights"
from = { groups = ["traders"] }
to = ["settlement/*"]
when = { hours = "* 17:00-06:00", timezone = "UTC" }
)");
  EXPECT_EQ(warnings(forbidden, PlanWarning::Kind::ends_earlier),
            (Lines{"settlement/ledger tcp/5432 would end earlier for 1 person"}));
  EXPECT_EQ(forbidden.warnings[0].lines, (Lines{"trader@acme.example on trader-laptop: until "
                                                "2026-01-05T17:00:00Z instead of 2026-01-05T18:00:00Z"}));
}

// P7: of several allows the latest deadline wins, port by port.
TEST_F(PlanTest, WhatEndsEarlierIsToldByPort) {
  const auto rules = [](const char* end_of_web, const char* end_of_all) {
    return fmt::format(
        "{}{}when = {{ valid_until = \"2026-01-05T{}Z\" }}\n{}when = {{ valid_until = \"2026-01-05T{}Z\" "
        "}}\n",
        kSegments,
        "[[allow]]\nname = \"web\"\nfrom = { groups = [\"traders\"] }\nto = [\"settlement/web\"]\n",
        end_of_web,
        "[[allow]]\nname = \"all\"\nfrom = { groups = [\"traders\"] }\nto = [\"settlement tcp\", "
        "\"settlement udp/53\"]\n",
        end_of_all);
  };
  world.policy(rules("12:00:00", "13:00:00"));
  const Plan all = plan_to(rules("12:00:00", "11:00:00"));
  EXPECT_EQ(
      warnings(all, PlanWarning::Kind::ends_earlier),
      (Lines{"settlement tcp/0-442, tcp/444-7999, tcp/8100-65535, udp/53 would end earlier for 1 person",
             "settlement/web tcp/443, tcp/8000-8099 would end earlier for 1 person"}))
      << "web stays until noon, where it was 13:00 by the other rule";
  EXPECT_EQ(all.warnings[1].lines,
            (Lines{"trader@acme.example on trader-laptop: until 2026-01-05T12:00:00Z instead "
                   "of 2026-01-05T13:00:00Z"}));
  EXPECT_TRUE(plan_to(rules("11:00:00", "13:00:00")).warnings.empty())
      << "the other rule lasts as long as ever";
}

// P7: also when the rule that lasted longer is gone.
TEST_F(PlanTest, WhatEndsEarlierForWantOfARuleIsTold) {
  const std::string until_noon =
      "[[allow]]\nname = \"noon\"\nfrom = { groups = [\"traders\"] }\nto = "
      "[\"settlement/*\"]\nwhen = { valid_until = \"2026-01-05T12:00:00Z\" }\n";
  world.policy(kSegments + until_noon + kAllow);
  EXPECT_EQ(warnings(plan_to(kSegments + until_noon), PlanWarning::Kind::ends_earlier),
            (Lines{"settlement/ledger tcp/5432 would end earlier for 1 person"}));
}

TEST_F(PlanTest, PeopleWhoAreNotHereAreTold) {
  world.user("away@acme.example");
  world.user("ill@acme.example");
  world.user("disabled@acme.example").disabled = true;
  const std::string rule = R"(
[[allow]]
name = "away-to-web"
from = { users = ["away@acme.example", "ill@acme.example", "disabled@acme.example"] }
to = ["settlement/web"]
when = { assurance = "aal3" }
)";
  const Plan absent = plan_to(std::string(kSegments) + kAllow + rule);
  EXPECT_TRUE(absent.changes_nothing());
  EXPECT_EQ(warnings(absent, PlanWarning::Kind::not_signed_in),
            (Lines{"the rules change for 2 people who are not signed in now, whom this plan doesn't count"}));
  EXPECT_EQ(absent.warnings.back().lines,
            (Lines{"away@acme.example, ill@acme.example: gains settlement/web tcp/443, gains settlement/web "
                   "tcp/8000-8099"}));
  world.policy(std::string(kSegments) + kAllow + rule);
  EXPECT_EQ(plan_to(std::string(kSegments) + kAllow).warnings.back().lines,
            (Lines{"away@acme.example, ill@acme.example: loses settlement/web tcp/443, loses settlement/web "
                   "tcp/8000-8099"}));
}

}  // namespace plan_test
}  // namespace cordon::policy
