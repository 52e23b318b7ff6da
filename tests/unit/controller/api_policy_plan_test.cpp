// Over the API: what a policy would change, what one could say, why the one in force decides as it does.

#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "controller/api/fields.h"
#include "tests/support/api_rig.h"

namespace cordon::controller {
namespace api_policy_plan_test {

namespace json = boost::json;

constexpr const char* kSegments = R"(
[groups.traders]
users = ["trader@acme.example"]
[segments.settlement]
members = ["device:ledger"]
[segments.settlement.services]
ledger = ["tcp/5432"]
[segments.lab]
members = ["device:lab-1"]
mode = "observe"
)";
constexpr const char* kAllow = R"(
[[allow]]
name = "traders-to-ledger"
from = { groups = ["traders"] }
to = ["settlement/ledger"]
)";

class ApiPolicyPlan : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* device : {"ledger", "lab-1", "laptop"}) rig.add_device(device);
    const std::string user = rig.add_user("trader@acme.example", "correct horse battery");
    rig.add(kinds::PolicyApplied{.files = {{"a.toml", std::string(kSegments) + kAllow}},
                                 .confirm_by = rig.clock.now() + Seconds(300),
                                 .tzdata = system_time_zones().version()});
    rig.add(
        test::session("s-0000000000000001", user, "laptop", 1000, rig.clock.now() + std::chrono::hours(8)));
    rig.on_strand([&] {
      const policy::World& world = rig.log->world();
      trader = SubjectId(user);
      from = world.sessions.begin()->second.addresses.v4;
      ledger = world.devices.at(DeviceId("ledger")).addresses.v4;
      lab = world.devices.at(DeviceId("lab-1")).addresses.v4;
      return 0;
    });
  }

  test::Answer post(const std::string& what, const json::object& body) {
    return rig.call("POST", "/v1/policy/" + what, json::serialize(body));
  }
  test::Answer plan(const std::string& text) {
    return post("plan", {{"files", json::array{json::object{{"name", "a.toml"}, {"text", text}}}}});
  }
  static void expect_schema(const test::Answer& answer, const std::string& schema) {
    const auto good = api::check_object(answer.json(), api::schema(schema), "");
    EXPECT_TRUE(good) << schema << ": " << (good ? "" : good.error().message()) << "\n" << answer.body;
  }
  static std::vector<std::string> lines(const json::object& object) {
    std::vector<std::string> out;
    for (const auto& line : object.at("lines").as_array()) out.emplace_back(line.as_string());
    return out;
  }
  void record(const std::string& kind, const Address& to, const std::string& device, std::uint16_t port,
              const std::string& reason = "") {
    rig.on_strand([&] {
      test::must(rig.flows->add({{.at = rig.clock.now(),
                                  .node = DeviceId(device),
                                  .kind = kind,
                                  .source = from,
                                  .destination = to,
                                  .person = trader.value,
                                  .source_device = "laptop",
                                  .destination_device = device,
                                  .protocol = 6,
                                  .source_port = ++port_,
                                  .destination_port = port,
                                  .reason = reason,
                                  .direction = "ingress"}}));
      return 0;
    });
  }

  test::ApiRig rig;
  SubjectId trader;
  Address from, ledger, lab;

 private:
  std::uint16_t port_ = 40'000;
};

using Lines = std::vector<std::string>;

TEST_F(ApiPolicyPlan, TellsWhoLosesWhatAndWhichOpenFlowsAreCut) {
  record("opened", ledger, "ledger", 5432);
  record("opened", ledger, "ledger", 5432);
  const auto answer = plan(kSegments);
  ASSERT_EQ(answer.status, 200u) << answer.body;
  expect_schema(answer, "PolicyPlan");
  EXPECT_EQ(answer.text("summary"), "1 person loses access; 2 live flows are cut");
  const json::array changes = answer.json().at("changes").as_array();
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(lines(changes[0].as_object()),
            (Lines{"trader@acme.example on laptop loses settlement/ledger tcp/5432; 2 live flows are cut"}));
  EXPECT_EQ(answer.json().at("warnings").as_array().size(), 2u) << "nobody reaches it, no rule allows it";
  const json::array obstacles = answer.json().at("obstacles").as_array();
  ASSERT_EQ(obstacles.size(), 1u) << "the one in force waits for its confirmation";
  EXPECT_NE(std::string(obstacles[0].as_string()).find("waits for confirmation"), std::string::npos);
}

TEST_F(ApiPolicyPlan, APlanOfAMistakenPolicyIsRefusedLikeAnApply) {
  const auto answer = plan("[groups.traders]\nuser = [\"x\"]\n");
  EXPECT_EQ(answer.status, 422u);
  EXPECT_NE(answer.body.find("did you mean"), std::string::npos) << answer.body;
}

TEST_F(ApiPolicyPlan, AnApplyTellsWhatItChanges) {
  rig.add(kinds::PolicyConfirmed{rig.on_strand([&] { return rig.log->world().policy_revision; })});
  const auto answer = post(
      "apply", {{"files", json::array{json::object{{"name", "a.toml"}, {"text", std::string(kSegments)}}}}});
  ASSERT_EQ(answer.status, 200u) << answer.body;
  expect_schema(answer, "PolicyApplied");
  EXPECT_EQ(lines(answer.json().at("plan").as_object()),
            (Lines{"1 person loses access",
                   "warning: nobody who is here now could reach settlement/ledger any more",
                   "warning: no rule allows anything to segment settlement: it is closed to everybody",
                   "  trader@acme.example on laptop loses settlement/ledger tcp/5432"}));
}

TEST_F(ApiPolicyPlan, LearnsFromWhatTheSegmentLetThrough) {
  for (int i = 0; i < 3; ++i) record("denied", lab, "lab-1", 8080, "observed");
  record("denied", lab, "lab-1", 9090, "observed");
  record("denied", lab, "lab-1", 22, "no grant");
  const auto answer = post("learn", {{"segment", "lab"}, {"since_s", 3600}});
  ASSERT_EQ(answer.status, 200u) << answer.body;
  expect_schema(answer, "PolicyLesson");
  const json::object lesson = answer.json();
  EXPECT_EQ(lesson.at("flows_covered"), 3);
  EXPECT_EQ(lesson.at("flows_left_out"), 1);
  EXPECT_NE(answer.text("text").find("from = { groups = [\"traders\"] }\nto = [\"lab tcp/8080\"]\n"),
            std::string::npos)
      << answer.text("text");
  EXPECT_TRUE(lesson.at("notes").as_array().empty());
  const auto enforced = post("learn", {{"segment", "settlement"}});
  ASSERT_EQ(enforced.json().at("notes").as_array().size(), 1u);
  EXPECT_NE(enforced.body.find("doesn't observe"), std::string::npos) << enforced.body;
  const auto unknown = post("learn", {{"segment", "lap"}});
  EXPECT_EQ(unknown.status, 404u);
  EXPECT_NE(unknown.body.find("did you mean"), std::string::npos) << unknown.body;
}

TEST_F(ApiPolicyPlan, ExplainsADecision) {
  const auto answer =
      post("explain", {{"user", "trader@acme.example"}, {"device", "laptop"}, {"to", "settlement/ledger"}});
  ASSERT_EQ(answer.status, 200u) << answer.body;
  expect_schema(answer, "PolicyExplanation");
  EXPECT_EQ(answer.json().at("allowed"), true);
  const json::object first = answer.json().at("answers").as_array().at(0).as_object();
  EXPECT_EQ(first.at("decision").as_object().at("rule"), "traders-to-ledger");
  EXPECT_EQ(lines(answer.json()).size(), 1u);

  const auto machine = post("explain", {{"device", "laptop"}, {"to", "settlement tcp/22"}});
  ASSERT_EQ(machine.status, 200u) << machine.body;
  EXPECT_EQ(machine.json().at("allowed"), false);
  EXPECT_EQ(lines(machine.json()),
            (Lines{"machine laptop may not reach settlement tcp/22 at ledger: no rule speaks of it"}));
  EXPECT_EQ(post("explain", {{"device", "nowhere"}, {"to", "settlement/ledger"}}).status, 404u);
  EXPECT_EQ(post("explain", {{"device", "laptop"}, {"to", "settlement"}}).status, 400u);
  EXPECT_EQ(post("explain", {{"device", "laptop"}, {"to", "lab tcp/1"}, {"assurance", "aal9"}}).status, 400u);
}

}  // namespace api_policy_plan_test
}  // namespace cordon::controller
