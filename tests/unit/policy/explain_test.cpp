#include "policy/explain.h"

#include <gtest/gtest.h>

#include "tests/support/world_builder.h"

namespace cordon::policy {
namespace explain_test {

using test::kNow;
using test::WorldBuilder;

constexpr const char* kPolicy = R"(
[groups.traders]
users = ["trader@acme.example"]
[segments.settlement]
members = ["tag:settlement"]
[segments.settlement.services]
ledger = ["tcp/5432"]
web = ["tcp/443", "tcp/8000-8099"]
[segments.lab]
members = ["tag:lab"]
mode = "observe"
[[allow]]
name = "traders-to-ledger"
from = { groups = ["traders"] }
to = ["settlement/ledger"]
when = { assurance = "aal3" }
[[forbid]]
name = "web-is-closed"
from = { groups = ["traders"] }
to = ["settlement/web"]
[[allow]]
name = "peers"
from = { segments = ["settlement"] }
to = ["settlement/ledger"]
)";

class ExplainTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* id : {"ledger-1", "ledger-2"}) world.device(id, {"settlement"});
    world.device("laptop");
    world.session("s-1", "trader@acme.example", "laptop");
    world.policy(kPolicy);
    question = {
        .user = SubjectId("u-trader@acme.example"), .device = DeviceId("laptop"), .to = "settlement/ledger"};
  }
  std::vector<std::string> lines() { return lines_of(explain(world.world(), question, kNow).value()); }
  std::string error() {
    const auto answer = explain(world.world(), question, kNow);
    return answer ? "no error" : answer.error().message();
  }

  WorldBuilder world;
  ExplainQuestion question;
};

using Lines = std::vector<std::string>;

TEST_F(ExplainTest, TheOpenSessionIsAskedAbout) {
  EXPECT_EQ(lines(),
            (Lines{"trader@acme.example on laptop may not reach settlement/ledger tcp/5432 at ledger-1 and "
                   "1 like it: no rule that speaks of it holds",
                   "  \"traders-to-ledger\" needs assurance aal3, found aal2"}));
  const SessionId open = world.world().sessions.begin()->first;
  world.world().sessions.change(open, [](policy::Session& s) { s.assurance = Assurance::aal3; });
  EXPECT_EQ(lines(),
            (Lines{"trader@acme.example on laptop may reach settlement/ledger tcp/5432 at ledger-1 and "
                   "1 like it: rule \"traders-to-ledger\" allows it until 2026-01-05T10:15:00Z"}));
}

TEST_F(ExplainTest, ARangeIsAnsweredInItsParts) {
  world.policy(
      std::string(kPolicy) +
      "[[allow]]\nname = \"admin\"\nfrom = { groups = [\"traders\"] }\nto = [\"settlement tcp/7000-7999\"]\n"
      "[[forbid]]\nname = \"never\"\nfrom = { groups = [\"traders\"] }\nto = [\"settlement tcp/7080\"]\n");
  question.to = "settlement tcp/7000-7100";
  EXPECT_EQ(
      lines(),
      (Lines{
          "trader@acme.example on laptop may reach settlement tcp/7000-7079 at ledger-1 and 1 like it: rule "
          "\"admin\" allows it until 2026-01-05T10:15:00Z",
          "trader@acme.example on laptop may not reach settlement tcp/7080 at ledger-1 and 1 like it: rule "
          "\"never\" forbids it",
          "  \"admin\" holds too",
          "trader@acme.example on laptop may reach settlement tcp/7081-7100 at ledger-1 and 1 like it: rule "
          "\"admin\" allows it until 2026-01-05T10:15:00Z"}));
}

TEST_F(ExplainTest, WithoutSessionALoginIsImagined) {
  world.world().sessions.clear();
  question.assurance = Assurance::aal3;
  EXPECT_EQ(lines().front(),
            "trader@acme.example on laptop is not signed in; this is what a login at aal3 would give now:");
  EXPECT_NE(lines()[1].find("rule \"traders-to-ledger\" allows it until"), std::string::npos);
}

TEST_F(ExplainTest, EachPortOfAServiceIsAnswered) {
  question.to = "settlement/web";
  EXPECT_EQ(lines(),
            (Lines{"trader@acme.example on laptop may not reach settlement/web tcp/443 at ledger-1 and 1 "
                   "like it: rule \"web-is-closed\" forbids it",
                   "trader@acme.example on laptop may not reach settlement/web tcp/8000-8099 at ledger-1 "
                   "and 1 like it: rule \"web-is-closed\" forbids it"}));
  question.to = "settlement/*";
  EXPECT_EQ(explain(world.world(), question, kNow)->answers.size(), 3u);
}

// P10: an isolated device is of another kind than its like.
TEST_F(ExplainTest, KindsOfTargetsAreToldApart) {
  world.world().devices.at(DeviceId("ledger-2")).isolated = true;
  const auto answers = explain(world.world(), question, kNow)->answers;
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(answers[1].target, DeviceId("ledger-2"));
}

TEST_F(ExplainTest, MachinesAndSegmentsWithoutDevices) {
  question = {.user = {}, .device = DeviceId("ledger-2"), .to = "settlement/ledger"};
  EXPECT_EQ(lines(),
            (Lines{"machine ledger-2 may reach settlement/ledger tcp/5432 at ledger-1 and 1 like it: rule "
                   "\"peers\" allows it until 2026-01-05T10:15:00Z"}));
  question.to = "lab tcp/22";
  EXPECT_EQ(lines(),
            (Lines{"machine ledger-2 may not reach lab tcp/22 at a device of it (there is none yet): no rule "
                   "speaks of it; it is let through all the same, for the segment only observes"}));
}

TEST_F(ExplainTest, WhatCantBeAskedIsAClearError) {
  question.to = "settlement";
  EXPECT_EQ(
      error(),
      "\"settlement\" names no service; write \"SEGMENT/SERVICE\", \"SEGMENT/*\" or \"SEGMENT tcp/443\"");
  question.to = "setlement/ledger";
  EXPECT_EQ(error(), "the policy has no segment \"setlement\"; did you mean \"settlement\"?");
  question.to = "settlement/leger";
  EXPECT_EQ(error(), "segment \"settlement\" has no service \"leger\"; did you mean \"ledger\"?");
  question.to = "lab/*";
  EXPECT_EQ(error(), "segment \"lab\" has no services; ask for a port: \"lab tcp/443\"");
  question.to = "lab tcp/99999";
  EXPECT_EQ(error().substr(0, 30), "access \"tcp/99999\" is out of r");
  question = {.user = {}, .device = DeviceId("nowhere"), .to = "lab tcp/1"};
  EXPECT_EQ(error(), "there is no device \"nowhere\"");
}

}  // namespace explain_test
}  // namespace cordon::policy
