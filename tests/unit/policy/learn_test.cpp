#include "policy/learn.h"

#include <gtest/gtest.h>

#include "tests/support/world_builder.h"

namespace cordon::policy {
namespace learn_test {

using std::chrono::hours;
using test::kNow;
using test::WorldBuilder;

constexpr const char* kPolicy = R"(
[groups.traders]
users = ["t1@acme.example", "t2@acme.example", "t3@acme.example"]
[groups.staff]
users = ["t1@acme.example", "t2@acme.example", "t3@acme.example", "c1@acme.example", "c2@acme.example", "c3@acme.example", "c4@acme.example", "c5@acme.example"]
[segments.lab]
members = ["tag:lab"]
mode = "observe"
[segments.lab.services]
web = ["tcp/443", "tcp/8000-8099"]
[[allow]]
name = "lab-from-traders"
from = { users = ["c5@acme.example"] }
to = ["lab tcp/22"]
[[forbid]]
name = "no-telnet"
from = { groups = ["staff"] }
to = ["lab tcp/23"]
)";

class LearnTest : public testing::Test {
 protected:
  void SetUp() override {
    world.device("lab-1", {"lab"});
    world.device("lab-2", {"lab"});
    world.device("laptop");
    world.device("web-1", {"web"});
    world.device("web-2", {"web"});
    world.device("bare");
    for (const char* user : {"t1", "t2", "t3", "c1", "c2", "c3", "c4", "c5"})
      world.session(fmt::format("s-{}", user), fmt::format("{}@acme.example", user), "laptop");
    world.policy(kPolicy);
    question.segment = "lab";
  }

  void seen(const std::string& who, std::uint16_t port, std::uint64_t count = 10,
            const std::string& target = "lab-1", std::uint8_t protocol = kTcp) {
    const bool person = who.size() == 2;
    question.flows.push_back({.person = SubjectId(person ? "u-" + who + "@acme.example" : ""),
                              .source = DeviceId(person ? "laptop" : who),
                              .target = DeviceId(target),
                              .protocol = protocol,
                              .port = port,
                              .count = count,
                              .first = kNow - hours(24),
                              .last = kNow});
  }
  Lesson learned() { return learn(world.world(), question, kNow).value(); }

  WorldBuilder world;
  LearnQuestion question;
};

using Names = std::set<std::string>;
using Texts = std::vector<std::string>;

TEST_F(LearnTest, AGroupStandsForItsPeopleAndAServiceForItsPorts) {
  for (const char* who : {"t1", "t2", "t3"}) seen(who, 443);
  seen("t1", 8001);
  seen("t1", 8001, 5, "lab-2");
  const Lesson lesson = learned();
  ASSERT_EQ(lesson.rules.size(), 1u) << lesson.text;
  EXPECT_EQ(lesson.rules[0].from.groups, (Names{"traders"}));
  EXPECT_EQ(lesson.rules[0].to, (Texts{"lab/web"}));
  EXPECT_EQ(lesson.rules[0].flows, 45u);
  EXPECT_TRUE(lesson.rules[0].beyond.empty());
  EXPECT_EQ(lesson.rules[0].name, "lab-from-traders-2") << "the policy has one of that name";
  EXPECT_EQ(lesson.flows_covered, 45u);
}

TEST_F(LearnTest, AFewOfALargeGroupAreNamedThemselves) {
  seen("c1", 9000);
  const Lesson lesson = learned();
  ASSERT_EQ(lesson.rules.size(), 1u);
  EXPECT_EQ(lesson.rules[0].from.users, (Names{"c1@acme.example"}));
  EXPECT_EQ(lesson.rules[0].to, (Texts{"lab tcp/9000"}));
}

TEST_F(LearnTest, MostOfAGroupIsTheGroupAndWhoElseComesInIsTold) {
  seen("t1", 443);
  seen("t2", 443);
  const Lesson lesson = learned();
  ASSERT_EQ(lesson.rules.size(), 1u);
  EXPECT_EQ(lesson.rules[0].from.groups, (Names{"traders"}));
  EXPECT_EQ(lesson.rules[0].beyond, (Names{"t3@acme.example"}));
  EXPECT_NE(lesson.text.find("# It also lets in 1 person not seen doing so: t3@acme.example.\n"),
            std::string::npos);
}

TEST_F(LearnTest, MachinesAreSelectedByTagsAndBareOnesBySegmentsOfTheirOwn) {
  seen("web-1", 443);
  seen("web-2", 443);
  seen("bare", 9000);
  const Lesson lesson = learned();
  ASSERT_EQ(lesson.rules.size(), 2u) << lesson.text;
  EXPECT_EQ(lesson.rules[0].from.tags, (Names{"web"}));
  EXPECT_EQ(lesson.rules[1].from.segments, (Names{"lab-clients"}));
  EXPECT_NE(lesson.text.find("[segments.lab-clients]\nmembers = [\"device:bare\"]"), std::string::npos);
}

TEST_F(LearnTest, WhatIsLeftOutIsToldWithItsReason) {
  seen("c1", 9001, 1);
  seen("c1", 23, 7);
  seen("c1", 0, 3, "lab-1", 47);
  seen("c5", 22, 4);
  seen("gone-device", 443, 6);
  seen("c1", 443, 9, "web-1");
  const Lesson lesson = learned();
  EXPECT_TRUE(lesson.rules.empty());
  EXPECT_EQ(lesson.flows_allowed, 4u);
  EXPECT_EQ(lesson.flows_left_out, 17u) << "flows to other segments are none of its business";
  Texts reasons;
  for (const LeftOut& left : lesson.left_out) reasons.push_back(left.why);
  EXPECT_EQ(reasons, (Texts{"rule \"no-telnet\" forbids it", "nobody known and active sent it",
                            "a policy has no word for its protocol alone", "seen once"}));
  EXPECT_NE(lesson.text.find(
                "#   c1@acme.example on laptop to lab-1 tcp/9001: 1 flow, last 2026-01-05 (seen once)\n"),
            std::string::npos)
      << lesson.text;
}

TEST_F(LearnTest, PortsThatTouchAreOneRangeAndBothEchoesArePing) {
  for (const std::uint16_t port : {9000, 9001, 9002, 9010}) seen("c1", port);
  seen("c1", 8, 10, "lab-1", kIcmp);
  seen("c1", 128, 10, "lab-1", kIcmpv6);
  const Lesson lesson = learned();
  ASSERT_EQ(lesson.rules.size(), 1u) << "one rule for the same people";
  EXPECT_EQ(lesson.rules[0].to, (Texts{"lab ping", "lab tcp/9000-9002", "lab tcp/9010"}));
}

TEST_F(LearnTest, TheTextIsReadBesideThePolicy) {
  seen("t1", 443);
  seen("web-1", 443);
  seen("bare", 9000);
  seen("c1", 8, 10, "lab-1", kIcmp);
  world.user("odd\"name\\\x01@acme.example");
  world.world().sessions.change(SessionId("s-c1"), [](policy::Session& session) {
    session.user = SubjectId("u-odd\"name\\\x01@acme.example");
  });
  question.flows.push_back({.person = SubjectId("u-odd\"name\\\x01@acme.example"),
                            .source = DeviceId("laptop"),
                            .target = DeviceId("lab-1"),
                            .port = 7000,
                            .count = 2,
                            .first = kNow,
                            .last = kNow});
  const Lesson lesson = learned();
  const auto both = test::policy_of({{"policy.toml", kPolicy}, {"learned.toml", lesson.text}});
  EXPECT_EQ(both->rules.size(), 2 + lesson.rules.size());
  EXPECT_EQ(lesson.text.substr(0, lesson.text.find('\n')),
            "# Proposed for segment lab: 5 rules cover 42 recorded flows that the policy didn't allow.");
}

TEST_F(LearnTest, AnUnknownSegmentIsAnErrorWithASuggestion) {
  question.segment = "lap";
  const auto none = learn(world.world(), question, kNow);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message(), "the policy has no segment \"lap\"; did you mean \"lab\"?");
}

}  // namespace learn_test
}  // namespace cordon::policy
