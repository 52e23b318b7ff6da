// Policies over the API: applied, then confirmed or taken back; refused with the reason; looked at again.
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

#include "controller/api/fields.h"
#include "tests/support/api_rig.h"

namespace cordon::controller {
namespace api_policy_test {

namespace json = boost::json;
using test::Answer;

const std::string kSegment =
    "[segments.web]\nmembers = [\"tag:web\"]\n[segments.web.services]\nsite = [\"tcp/443\"]\n";

std::string with_rule(const std::string& name) {
  return kSegment + "[[allow]]\nname = \"" + name + "\"\nfrom = { tags = [\"web\"] }\nto = [\"web/site\"]\n";
}

class ApiPolicy : public ::testing::Test {
 protected:
  void SetUp() override { rig.add_device("ledger"); }

  static void expect_schema(const Answer& answer, const std::string& schema) {
    const auto good = api::check_object(answer.json(), api::schema(schema), "");
    EXPECT_TRUE(good) << schema << ": " << (good ? "" : good.error().message()) << "\n" << answer.body;
  }
  Answer apply(const std::string& text, json::object body = {}) {
    body["files"] = json::array{json::object{{"name", "a.toml"}, {"text", text}}};
    return rig.call("POST", "/v1/policy/apply", json::serialize(body));
  }
  static std::int64_t number(const Answer& answer, std::string_view member) {
    const json::object object = answer.json();
    const json::value* value = object.if_contains(member);
    return value != nullptr && value->is_int64() ? value->as_int64() : -1;
  }
  Answer post(const std::string& verb, json::object body = {}) {
    return rig.call("POST", "/v1/policy/" + verb, json::serialize(body));
  }
  /// Applied and confirmed; its revision.
  std::int64_t keep(const std::string& text) {
    const auto revision = number(apply(text), "revision");
    EXPECT_EQ(post("confirm", {{"revision", revision}}).status, 200u);
    return revision;
  }
  std::vector<std::string> states() {
    std::vector<std::string> all;
    const json::object history = rig.call("GET", "/v1/policy/history").json();
    for (const auto& item : history.at("items").as_array())
      all.emplace_back(item.as_object().at("state").as_string());
    return all;
  }
  std::string rule_in_force() {
    return rig.on_strand([&] {
      const auto& rules = rig.log->world().policy->rules;
      return rules.empty() ? std::string() : rules.front().name;
    });
  }

  test::ApiRig rig;
};
using States = std::vector<std::string>;

// P12.
TEST_F(ApiPolicy, CountriesThatNobodyKnowsAreWarnedOf) {
  const std::string text = with_rule("one") + "when = { countries = [\"TW\"] }\n";
  const auto warning = [](const Answer& answer) {
    const json::object object = answer.json();
    const auto& diagnostics = object.at("diagnostics").as_array();
    return diagnostics.empty() ? std::string() : std::string(diagnostics[0].at("text").as_string());
  };
  const std::string expected =
      "a.toml:5:1: warning: rule \"one\" asks for countries, and this controller knows none; name a database "
      "of "
      "countries under [places] in the controller's configuration";
  const std::string files =
      json::serialize(json::object{{"files", json::array{json::object{{"name", "a.toml"}, {"text", text}}}}});
  EXPECT_EQ(warning(rig.call("POST", "/v1/policy/check", files)), expected);
  EXPECT_EQ(warning(rig.call("POST", "/v1/policy/plan", files)), expected);
  EXPECT_EQ(warning(apply(text)), expected);
}

// P7.
TEST_F(ApiPolicy, ALeaseThatNoNodeKeepsIsWarnedOf) {
  const auto answer = apply(with_rule("one") + "lease = \"8h\"\n");
  ASSERT_EQ(answer.status, 200u) << answer.body;
  EXPECT_NE(
      answer.body.find("has a lease of 8h, but a node that hears from no controller drops everything after"),
      std::string::npos)
      << answer.body;
}

TEST_F(ApiPolicy, IsAppliedAndConfirmed) {
  const auto applied = apply(with_rule("one"));
  ASSERT_EQ(applied.status, 200u) << applied.body;
  expect_schema(applied, "PolicyApplied");
  EXPECT_EQ(applied.text("confirm_by"), format_rfc3339(rig.clock.now() + Seconds(300)));
  const auto shown = rig.call("GET", "/v1/policy");
  expect_schema(shown, "Policy");
  EXPECT_EQ(shown.text("confirm_by"), applied.text("confirm_by"));
  EXPECT_EQ(number(shown, "confirmed_revision"), 0);
  EXPECT_EQ(states(), States{"pending"});

  const auto revision = number(applied, "revision");
  EXPECT_EQ(post("confirm", {{"revision", revision + 1}}).status, 409u);
  const auto confirmed = post("confirm", {{"revision", revision}});
  ASSERT_EQ(confirmed.status, 200u) << confirmed.body;
  expect_schema(confirmed, "PolicyConfirmed");
  EXPECT_EQ(states(), States{"in force"});
  EXPECT_TRUE(rig.call("GET", "/v1/policy").json().at("confirm_by").is_null());
  EXPECT_EQ(post("confirm", {{"revision", revision}}).status, 409u);
  EXPECT_EQ(post("confirm").status, 400u);
}

TEST_F(ApiPolicy, WaitsAsLongAsItIsTold) {
  EXPECT_EQ(apply(with_rule("one"), {{"confirm_within_s", 9}}).status, 400u);
  EXPECT_EQ(apply(with_rule("one"), {{"confirm_within_s", 86401}}).status, 400u);
  const auto applied = apply(with_rule("one"), {{"confirm_within_s", 10}});
  ASSERT_EQ(applied.status, 200u) << applied.body;
  rig.clock.advance(Seconds(11));
  const auto late = post("confirm", {{"revision", number(applied, "revision")}});
  EXPECT_EQ(late.status, 409u);
  EXPECT_NE(late.text("detail").find("ended at " + applied.text("confirm_by")), std::string::npos)
      << late.body;
}

TEST_F(ApiPolicy, ASecondOneIsToldWhoWaitsAndUntilWhen) {
  const auto first = apply(with_rule("one"));
  const auto second = apply(with_rule("two"));
  ASSERT_EQ(second.status, 409u);
  EXPECT_EQ(second.text("detail"), "policy revision " + std::to_string(number(first, "revision")) +
                                       ", applied by root@local, waits for confirmation until " +
                                       first.text("confirm_by"));
  EXPECT_NE(second.text("hint").find("cordon policy confirm"), std::string::npos);
  EXPECT_NE(second.text("hint").find("cordon policy rollback"), std::string::npos);
  EXPECT_EQ(rule_in_force(), "one");
}

TEST_F(ApiPolicy, IsTakenBack) {
  EXPECT_EQ(post("rollback").status, 409u);
  const auto kept = keep(with_rule("one"));
  const auto lost = number(apply(with_rule("two")), "revision");
  EXPECT_EQ(rule_in_force(), "two");
  const auto back = post("rollback", {{"reason", "wrong"}});
  ASSERT_EQ(back.status, 200u) << back.body;
  expect_schema(back, "PolicyRolledBack");
  EXPECT_EQ(number(back, "undone"), lost);
  EXPECT_EQ(number(back, "policy_revision"), kept);
  EXPECT_EQ(rule_in_force(), "one");
  EXPECT_EQ(states(), (States{"rolled back", "in force"}));
  EXPECT_EQ(post("confirm", {{"revision", lost}}).status, 409u);
}

TEST_F(ApiPolicy, AnOlderOneIsAppliedAgainAndWaits) {
  const auto one = keep(with_rule("one"));
  const auto two = keep(with_rule("two"));
  EXPECT_EQ(post("rollback", {{"revision", two}}).status, 409u) << "it is in force";
  EXPECT_EQ(post("rollback", {{"revision", 1}}).status, 404u) << "no policy's record";
  const auto again = post("rollback", {{"revision", one}, {"confirm_within_s", 60}});
  ASSERT_EQ(again.status, 200u) << again.body;
  expect_schema(again, "PolicyRolledBack");
  EXPECT_EQ(again.text("confirm_by"), format_rfc3339(rig.clock.now() + Seconds(60)));
  EXPECT_EQ(rule_in_force(), "one");
  EXPECT_EQ(states(), (States{"pending", "confirmed", "superseded"}));
  EXPECT_EQ(post("rollback", {{"revision", one}}).status, 409u) << "one waits";
  EXPECT_EQ(post("rollback", {{"revision", two}}).status, 200u) << "that is the one that comes back";
  EXPECT_EQ(rule_in_force(), "two");
  EXPECT_EQ(states(), (States{"rolled back", "in force", "superseded"}));
}

TEST_F(ApiPolicy, ANackOfANodeConcernedBlocksItsConfirmation) {
  const auto revision = number(apply(with_rule("one")), "revision");
  rig.distribution.given = {{.device = DeviceId("web"), .acked = true},
                            {.device = DeviceId("ledger"), .nack = "the map of targets is full"}};
  const auto refused = post("confirm", {{"revision", revision}});
  EXPECT_EQ(refused.status, 409u);
  EXPECT_NE(refused.text("detail").find("\"ledger\" (the map of targets is full)"), std::string::npos)
      << refused.body;
  EXPECT_EQ(states(), States{"pending"});
  rig.distribution.given[1] = {.device = DeviceId("ledger"), .acked = true};
  EXPECT_EQ(post("confirm", {{"revision", revision}}).status, 200u);
}

TEST_F(ApiPolicy, ItsOwnTestsRefuseIt) {
  const std::string test =
      "[[test]]\nname = \"nobody gets in\"\nwho = { device = { tags = [\"web\"] } }\naccess = \"web/site\"\n"
      "expect = \"deny\"\n";
  const auto refused = apply(with_rule("one") + test);
  EXPECT_EQ(refused.status, 422u);
  EXPECT_NE(refused.text("detail").find("nobody gets in"), std::string::npos) << refused.body;
  EXPECT_NE(refused.text("detail").find("expected deny, found allow by \"one\""), std::string::npos)
      << refused.body;
  EXPECT_EQ(refused.json().at("diagnostics").as_array().size(), 1u);
  const json::object body{
      {"files", json::array{json::object{{"name", "a.toml"}, {"text", with_rule("one") + test}}}}};
  EXPECT_FALSE(post("check", body).json().at("ok").as_bool());
  EXPECT_EQ(rule_in_force(), "");
}

TEST_F(ApiPolicy, WhatDoesntFitANodeIsRefusedWithTheNumbers) {
  rig.add(kinds::DeviceTagged{DeviceId("ledger"), {"web"}});
  rig.distribution.known = {
      {.device = DeviceId("ledger"), .features = {{"state/1"}}, .map_sizes = {{"targets", 1}}}};
  const auto refused = apply(with_rule("one"));
  EXPECT_EQ(refused.status, 422u) << refused.body;
  EXPECT_NE(refused.text("detail").find("ledger"), std::string::npos) << refused.body;
  EXPECT_NE(refused.text("detail").find("targets"), std::string::npos) << refused.body;
  EXPECT_EQ(rule_in_force(), "");
}

// I10.
TEST_F(ApiPolicy, WhatFitsOnlyWithoutThePolicyBeforeIsWarnedOf) {
  rig.add(kinds::DeviceTagged{DeviceId("ledger"), {"web"}});
  rig.distribution.known = {
      {.device = DeviceId("ledger"), .features = {{"state/1"}}, .map_sizes = {{"grants", 5}}}};
  const std::string turning = "while it turns, 6 grants stand beside each other, its map holds 5";
  EXPECT_EQ(apply(with_rule("one")).body.find("while it turns"), std::string::npos)
      << "nothing was before it";
  ASSERT_EQ(post("rollback").status, 200u);
  keep(with_rule("one"));
  const std::string other = json::serialize(
      json::object{{"files", json::array{json::object{{"name", "a.toml"}, {"text", with_rule("two")}}}}});
  EXPECT_NE(rig.call("POST", "/v1/policy/plan", other).body.find(turning), std::string::npos);
  const auto applied = apply(with_rule("two"));
  ASSERT_EQ(applied.status, 200u) << applied.body;
  expect_schema(applied, "PolicyApplied");
  EXPECT_NE(applied.body.find(turning), std::string::npos) << applied.body;
  EXPECT_NE(applied.body.find("drops-while-turning"), std::string::npos) << applied.body;
}

TEST_F(ApiPolicy, ANodeConcernedThatCantEnforceItIsNamed) {
  rig.add_device("away");
  rig.add(kinds::DeviceTagged{DeviceId("ledger"), {"web"}});
  rig.distribution.known = {{.device = DeviceId("ledger"), .features = std::set<std::string>{"state/0"}},
                            {.device = DeviceId("away")}};
  const auto refused = apply(with_rule("one"));
  EXPECT_EQ(refused.status, 409u);
  EXPECT_NE(
      refused.text("detail").find("\"ledger\" can't enforce this policy: it doesn't understand \"state/1\""),
      std::string::npos)
      << refused.body;
  rig.add(kinds::DeviceTagged{DeviceId("ledger"), {}});
  EXPECT_EQ(apply(with_rule("one")).status, 200u) << "no rule and no segment speaks of it now";
}

TEST_F(ApiPolicy, HistoryIsPagedFromTheNewest) {
  std::vector<std::int64_t> revisions;
  for (const char* name : {"one", "two", "three"}) revisions.push_back(keep(with_rule(name)));
  const auto first = rig.call("GET", "/v1/policy/history?limit=2");
  ASSERT_EQ(first.status, 200u);
  const json::object page = first.json();
  ASSERT_EQ(page.at("items").as_array().size(), 2u);
  for (const auto& item : page.at("items").as_array()) {
    const auto good = api::check_object(item.as_object(), api::schema("PolicyRecord"), "");
    EXPECT_TRUE(good) << (good ? "" : good.error().message());
  }
  const json::object& newest = page.at("items").as_array().at(0).as_object();
  EXPECT_EQ(newest.at("revision").as_int64(), revisions[2]);
  EXPECT_EQ(newest.at("state").as_string(), "in force");
  EXPECT_EQ(newest.at("by").as_string(), "root@local");
  const json::object& second = page.at("items").as_array().at(1).as_object();
  EXPECT_EQ(second.at("state").as_string(), "superseded");
  EXPECT_EQ(second.at("replaced_by").as_int64(), revisions[2]);
  const auto last = rig.call("GET", "/v1/policy/history?limit=2&after=" + first.text("next"));
  EXPECT_EQ(last.json().at("items").as_array().at(0).as_object().at("revision").as_int64(), revisions[0]);
  EXPECT_TRUE(last.json().at("next").is_null());
}

TEST_F(ApiPolicy, DifferencesAreByFileAndLine) {
  const auto one = keep(with_rule("one"));
  const auto two = keep(with_rule("two"));
  const auto diff = rig.call("GET", "/v1/policy/diff?a=" + std::to_string(one) + "&b=" + std::to_string(two));
  ASSERT_EQ(diff.status, 200u) << diff.body;
  expect_schema(diff, "PolicyDiff");
  const json::object whole = diff.json();
  const json::object& file = whole.at("files").as_array().at(0).as_object();
  EXPECT_EQ(file.at("change").as_string(), "changed");
  const std::string text(file.at("diff").as_string());
  EXPECT_NE(text.find("-name = \"one\"\n+name = \"two\"\n"), std::string::npos) << text;
  EXPECT_NE(text.find("--- a.toml\trevision " + std::to_string(one)), std::string::npos) << text;
  const json::object from_nothing = rig.call("GET", "/v1/policy/diff?a=0").json();
  EXPECT_EQ(from_nothing.at("b").as_int64(), two);
  EXPECT_EQ(from_nothing.at("files").as_array().at(0).as_object().at("change").as_string(), "added");
  const auto same = rig.call("GET", "/v1/policy/diff?a=" + std::to_string(two));
  EXPECT_TRUE(same.json().at("files").as_array().empty());
  EXPECT_EQ(rig.call("GET", "/v1/policy/diff?a=1").status, 404u);
  EXPECT_EQ(rig.call("GET", "/v1/policy/diff").status, 400u);
}

TEST_F(ApiPolicy, FactsThatOperatorsSet) {
  const auto tagged = rig.call("POST", "/v1/devices/ledger/tags", R"({"tags":["web","db"]})");
  EXPECT_EQ(tagged.status, 200u) << tagged.body;
  expect_schema(tagged, "Revision");
  EXPECT_EQ(rig.call("POST", "/v1/devices/ledger/classify", R"({"ownership":"partner"})").status, 200u);
  const auto shown = rig.call("GET", "/v1/devices/ledger");
  expect_schema(shown, "Device");
  EXPECT_EQ(shown.text("ownership"), "partner");
  EXPECT_EQ(shown.json().at("tags").as_array().size(), 2u);
  EXPECT_EQ(rig.call("POST", "/v1/devices/ledger/classify", R"({"ownership":null})").status, 200u);
  EXPECT_EQ(rig.call("POST", "/v1/devices/ledger/classify", R"({"ownership":"mine"})").status, 400u);
  EXPECT_EQ(rig.call("POST", "/v1/devices/ledger/classify", R"({"ownership":""})").status, 400u);
  EXPECT_EQ(rig.call("POST", "/v1/devices/ledger/classify", "{}").status, 400u);
  EXPECT_EQ(rig.call("POST", "/v1/devices/ledger/tags", R"({"tags":["not a tag"]})").status, 400u);
  EXPECT_EQ(rig.call("POST", "/v1/devices/nobody/tags", R"({"tags":[]})").status, 404u);
}

}  // namespace api_policy_test
}  // namespace cordon::controller
