#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

#include "controller/api/fields.h"
#include "controller/api/router.h"
#include "controller/api/routes.h"
#include "tests/support/api_rig.h"

namespace cordon::controller {
namespace api_routes_test {

namespace json = boost::json;

constexpr const char* kPolicy =
    R"({"files":[{"name":"a.toml","text":"[segments.web]\nmembers = [\"tag:web\"]\n)"
    R"([segments.web.services]\nsite = [\"tcp/443\"]\n[[allow]]\nname = \"w\"\n)"
    R"(from = { tags = [\"web\"] }\nto = [\"web/site\"]\n"}]})";

class ApiRoutes : public ::testing::Test {
 protected:
  void SetUp() override { rig.add_device("ledger"); }

  /// The body has exactly the members that its schema tells, with their types.
  static void expect_schema(const test::Answer& answer, const std::string& schema) {
    const auto good = api::check_object(answer.json(), api::schema(schema), "");
    EXPECT_TRUE(good) << schema << ": " << (good ? "" : good.error().message()) << "\n" << answer.body;
  }
  static json::object first_item(const test::Answer& answer) {
    const json::object page = answer.json();
    const auto& items = page.at("items").as_array();
    return items.empty() ? json::object{} : items.front().as_object();
  }
  void expect_list(const std::string& target, const std::string& schema) {
    const auto answer = rig.call("GET", target);
    ASSERT_EQ(answer.status, 200u) << target << answer.body;
    const auto good = api::check_object(first_item(answer), api::schema(schema), "");
    EXPECT_TRUE(good) << target << ": " << (good ? "" : good.error().message()) << "\n" << answer.body;
  }

  test::ApiRig rig;
};

TEST_F(ApiRoutes, EveryRouteIsDescribedAndNothingElseIs) {
  const auto answer = rig.call("GET", "/openapi.json");
  ASSERT_EQ(answer.status, 200u);
  const json::object document = answer.json();
  EXPECT_EQ(document.at("openapi").as_string(), "3.1.0");
  std::set<std::pair<std::string, std::string>> described, routed, operations;
  for (const auto& path : document.at("paths").as_object()) {
    for (const auto& method : path.value().as_object()) {
      described.emplace(path.key(), method.key());
      const json::object& operation = method.value().as_object();
      EXPECT_TRUE(operation.contains("responses"));
      EXPECT_TRUE(operations.emplace(std::string(operation.at("operationId").as_string()), "").second);
    }
  }
  for (const api::Route& route : api::all_routes()) {
    std::string method(route.method);
    for (char& c : method) c = static_cast<char>(c | 0x20);
    EXPECT_TRUE(routed.emplace(route.pattern, method).second) << route.pattern;
    EXPECT_NE(route.handler, nullptr);
    if (!route.answer.empty()) api::schema(route.answer);
  }
  EXPECT_EQ(described, routed);
  // Every $ref leads somewhere.
  const json::object& schemas = document.at("components").as_object().at("schemas").as_object();
  const std::string prefix = "#/components/schemas/";
  for (std::size_t at = answer.body.find(prefix); at != std::string::npos;
       at = answer.body.find(prefix, at + 1)) {
    const std::size_t start = at + prefix.size();
    EXPECT_TRUE(schemas.contains(answer.body.substr(start, answer.body.find('"', start) - start)));
  }
}

TEST_F(ApiRoutes, StatusHealthAndPolicy) {
  expect_schema(rig.call("GET", "/v1/status"), "Status");
  expect_schema(rig.call("GET", "/v1/health"), "Health");
  const auto checked = rig.call("POST", "/v1/policy/check", kPolicy);
  expect_schema(checked, "PolicyCheck");
  EXPECT_TRUE(checked.json().at("ok").as_bool()) << checked.body;
  const auto applied = rig.call("POST", "/v1/policy/apply", kPolicy);
  EXPECT_EQ(applied.status, 200u) << applied.body;
  expect_schema(applied, "PolicyApplied");
  const auto shown = rig.call("GET", "/v1/policy");
  expect_schema(shown, "Policy");
  EXPECT_EQ(shown.json().at("revision"), applied.json().at("revision"));
}

TEST_F(ApiRoutes, ABadPolicyChangesNothingAndTellsEveryDiagnostic) {
  const auto before = rig.call("GET", "/v1/policy").body;
  const auto refused =
      rig.call("POST", "/v1/policy/apply",
               R"({"files":[{"name":"a.toml","text":"[segments.web]\nmembrs = []\nmode = \"x\"\n"}]})");
  EXPECT_EQ(refused.status, 422u);
  EXPECT_NE(refused.head.find("application/problem+json"), std::string::npos);
  EXPECT_GE(refused.json().at("diagnostics").as_array().size(), 2u);
  EXPECT_NE(refused.text("detail").find("a.toml:2"), std::string::npos);
  EXPECT_EQ(rig.call("GET", "/v1/policy").body, before);
  for (const char* name : {"../a.toml", "/a.toml", "a.txt", "", "a//b.toml"}) {
    const json::object body{{"files", json::array{json::object{{"name", name}, {"text", ""}}}}};
    EXPECT_EQ(rig.call("POST", "/v1/policy/apply", json::serialize(body)).status, 400u) << name;
  }
}

TEST_F(ApiRoutes, JoinTokensDevicesIsolation) {
  const auto made = rig.call("POST", "/v1/tokens", R"({"tags":["web"],"uses":2})");
  EXPECT_EQ(made.status, 201u) << made.body;
  expect_schema(made, "JoinTokenCreated");
  EXPECT_TRUE(made.text("token").starts_with("cordon1."));
  EXPECT_EQ(rig.call("POST", "/v1/tokens", R"({"approve":true})").status, 400u);
  EXPECT_EQ(rig.call("POST", "/v1/tokens", R"({"tags":["No Tag"]})").status, 400u);
  expect_list("/v1/tokens", "JoinToken");
  expect_schema(rig.call("DELETE", "/v1/tokens/" + made.text("id")), "Revision");
  EXPECT_EQ(rig.call("DELETE", "/v1/tokens/t-0000000000000000").status, 404u);

  expect_list("/v1/devices", "Device");
  expect_schema(rig.call("GET", "/v1/devices/ledger"), "Device");
  EXPECT_EQ(rig.call("GET", "/v1/devices/nothing").status, 404u);
  rig.distribution.known = {{.device = DeviceId("ledger"), .connected = true}};
  rig.distribution.given = {{.device = DeviceId("ledger"), .acked = true, .after_us = 1500}};
  const auto isolated = rig.call("POST", "/v1/devices/ledger/isolate", R"({"reason":"test","wait_s":5})");
  EXPECT_EQ(isolated.status, 200u) << isolated.body;
  expect_schema(isolated, "Revision");
  const json::object whole = isolated.json();
  const json::object& receipt = whole.at("receipts").as_array().at(0).as_object();
  EXPECT_EQ(receipt.at("after_ms").as_int64(), 2);
  EXPECT_TRUE(receipt.at("connected").as_bool());
  expect_schema(rig.call("GET", "/v1/revisions/1/receipts"), "Receipts");
  EXPECT_EQ(rig.call("GET", "/v1/revisions/0/receipts").status, 400u);
  EXPECT_EQ(rig.call("GET", "/v1/revisions/999999/receipts").status, 404u);
  expect_list("/v1/nodes", "Node");
  EXPECT_EQ(rig.call("POST", "/v1/devices/ledger/release").status, 200u);
  EXPECT_EQ(rig.call("POST", "/v1/devices/ledger/approve").status, 409u);
  EXPECT_EQ(rig.call("DELETE", "/v1/devices/ledger?reason=old").status, 200u);
}

TEST_F(ApiRoutes, UsersAndSessions) {
  const auto added =
      rig.call("POST", "/v1/users", R"({"name":"ann@acme.example","password":"correct horse battery"})");
  EXPECT_EQ(added.status, 201u) << added.body;
  expect_schema(added, "UserAdded");
  EXPECT_EQ(rig.call("POST", "/v1/users", R"({"name":"ann@acme.example","password":"correct horse battery"})")
                .status,
            409u);
  const auto weak = rig.call("POST", "/v1/users", R"({"name":"bob@acme.example","password":"hunter2"})");
  EXPECT_EQ(weak.status, 400u);
  EXPECT_EQ(weak.body.find("hunter2"), std::string::npos);
  expect_list("/v1/users", "User");
  rig.add(kinds::SessionOpened{.session = {.id = SessionId("s-0000000000000001"),
                                           .user = SubjectId(added.text("id")),
                                           .device = DeviceId("ledger"),
                                           .assurance = policy::Assurance::aal2,
                                           .authenticated_at = rig.clock.now(),
                                           .ends_at = rig.clock.now() + Seconds{3600}}});
  expect_list("/v1/sessions", "Session");
  EXPECT_EQ(first_item(rig.call("GET", "/v1/sessions")).at("user").as_string(), "ann@acme.example");
  const std::string signals = "/v1/sessions/s-0000000000000001/signals";
  EXPECT_EQ(rig.call("POST", signals, R"({"name":"new country","cost":30,"lasts_s":60})").status, 200u);
  EXPECT_EQ(rig.call("POST", signals, R"({"name":"new country","cost":50,"wait_s":1})").status, 200u)
      << "in its place";
  EXPECT_EQ(first_item(rig.call("GET", "/v1/sessions")).at("signals").as_array(),
            (json::array{"new country: 50, as long as the session"}));
  expect_list("/v1/sessions", "Session");
  EXPECT_EQ(rig.call("POST", signals, R"({"name":"new country","cost":101})").status, 400u);
  EXPECT_EQ(rig.call("POST", signals, R"({"name":"","cost":10})").status, 400u);
  EXPECT_EQ(rig.call("DELETE", signals + "?name=new%20country").status, 200u);
  EXPECT_EQ(rig.call("DELETE", signals + "?name=new%20country").status, 404u);
  EXPECT_EQ(rig.call("POST", "/v1/sessions/s-2/signals", R"({"name":"x","cost":10})").status, 404u);
  EXPECT_EQ(rig.call("DELETE", "/v1/sessions/s-0000000000000001?wait_s=1").status, 200u);
  EXPECT_EQ(rig.call("DELETE", "/v1/sessions/s-0000000000000001").status, 404u);
  EXPECT_EQ(rig.call("POST", "/v1/users/ann%40acme.example/disable").status, 200u);
  EXPECT_EQ(rig.call("POST", "/v1/users/bob/disable").status, 404u);
  EXPECT_TRUE(first_item(rig.call("GET", "/v1/users")).at("disabled").as_bool());
  EXPECT_EQ(rig.call("POST", "/v1/users/ann%40acme.example/enable").status, 200u);
  EXPECT_FALSE(first_item(rig.call("GET", "/v1/users")).at("disabled").as_bool());
  EXPECT_EQ(rig.call("POST", "/v1/users/ann%40acme.example/enable").status, 409u);
}

TEST_F(ApiRoutes, AuditAndFlows) {
  expect_list("/v1/audit", "AuditRecord");
  const auto verified = rig.call("GET", "/v1/audit/verify");
  expect_schema(verified, "AuditVerified");
  EXPECT_TRUE(verified.json().at("ok").as_bool()) << verified.body;
  EXPECT_EQ(rig.call("GET", "/v1/audit/verify?against=nonsense").status, 400u);
  const auto exported = rig.call("GET", "/v1/audit/export");
  EXPECT_EQ(exported.status, 200u);
  EXPECT_EQ(static_cast<std::int64_t>(std::ranges::count(exported.body, '\n')),
            verified.json().at("records").as_int64() + verified.json().at("heads").as_int64() + 1);
  rig.store.edit([](auto& records, auto&) { records[1].actor = "somebody else"; });
  const auto edited = rig.call("GET", "/v1/audit/verify");
  EXPECT_FALSE(edited.json().at("ok").as_bool());
  EXPECT_EQ(edited.json().at("fault_revision").as_int64(), 2);
  test::must(
      rig.flows->add({{.at = rig.clock.now(), .node = DeviceId("ledger"), .kind = "denied", .protocol = 6}}));
  expect_list("/v1/flows?kind=denied", "Flow");
  test::must(
      rig.flows->add({{.at = rig.clock.now(), .node = DeviceId("ledger"), .kind = "opened", .protocol = 6}}));
  const auto page = rig.call("GET", "/v1/flows?limit=1");
  EXPECT_EQ(first_item(page).at("kind").as_string(), "opened");
  const auto next = rig.call("GET", "/v1/flows?limit=1&after=" + page.text("next"));
  EXPECT_EQ(first_item(next).at("kind").as_string(), "denied");
  const auto last = rig.call("GET", "/v1/flows?limit=1&after=" + next.text("next"));
  EXPECT_TRUE(last.json().at("items").as_array().empty());
  EXPECT_TRUE(last.json().at("next").is_null());
  for (const char* place : {"1", "1-", "-1", "x-1", "1-1x"})
    EXPECT_EQ(rig.call("GET", std::string("/v1/flows?after=") + place).status, 400u) << place;
  EXPECT_EQ(rig.call("GET", "/v1/flows?since=yesterday").status, 400u);
}

TEST_F(ApiRoutes, FlowsAreFilteredByNamesThatThereAre) {
  const std::string ann = rig.add_user("ann@acme.example", "a long enough passphrase");
  const auto add = [&](const std::string& device, const std::string& person, const std::string& kind) {
    test::must(rig.flows->add({{.at = rig.clock.now(),
                                .node = DeviceId("ledger"),
                                .kind = kind,
                                .source = test::must(Address::parse("100.64.0.7")),
                                .person = person,
                                .source_device = device,
                                .destination_device = "ledger",
                                .protocol = 6}}));
  };
  add("laptop", ann, "opened");
  add("web", "", "denied");
  const auto count = [&](const std::string& query) {
    const auto answer = rig.call("GET", "/v1/flows?" + query);
    return answer.status == 200u ? static_cast<int>(answer.json().at("items").as_array().size())
                                 : -static_cast<int>(answer.status);
  };
  EXPECT_EQ(count("from=ann%40acme.example"), 1);
  EXPECT_EQ(first_item(rig.call("GET", "/v1/flows?from=ann%40acme.example")).at("person").as_string(),
            "ann@acme.example");
  EXPECT_EQ(count("from=100.64.0.7"), 2);
  EXPECT_EQ(count("to=ledger"), 2);
  EXPECT_EQ(count("to=ledger&verdict=denied"), 1);
  for (const char* unknown : {"from=nobody", "to=nothing", "to=ledger/x", "rule=none"})
    EXPECT_EQ(count(unknown), -404) << unknown;
  for (const char* wrong : {"verdict=maybe", "kind=shut", "limit=1001", "wait_s=1"})
    EXPECT_EQ(count(wrong), -400) << wrong;
}

TEST_F(ApiRoutes, FlowsAreFollowed) {
  const auto begin = rig.call("GET", "/v1/flows/follow");
  EXPECT_EQ(begin.text("next"), "0");
  test::must(rig.flows->add({{.at = rig.clock.now(), .node = DeviceId("ledger"), .kind = "denied"}}));
  expect_list("/v1/flows/follow?after=0", "Flow");
  const auto one = rig.call("GET", "/v1/flows/follow?after=0&wait_s=30");
  EXPECT_EQ(first_item(one).at("id").as_int64(), 1);
  EXPECT_EQ(one.text("next"), "1");
  rig.kept_flows->add({{.at = rig.clock.now(), .node = DeviceId("web"), .kind = "denied"}});
  const auto next = rig.call("GET", "/v1/flows/follow?after=1&wait_s=30&kind=denied");
  EXPECT_EQ(first_item(next).at("node").as_string(), "web") << "waited for";
  const auto none = rig.call("GET", "/v1/flows/follow?after=2");
  EXPECT_TRUE(none.json().at("items").as_array().empty());
  EXPECT_EQ(none.text("next"), "2");
  for (const char* wrong : {"after=x", "after=-1", "after=1-2", "wait_s=31", "after=1&from=nobody"})
    EXPECT_GE(rig.call("GET", std::string("/v1/flows/follow?") + wrong).status, 400u) << wrong;
}

TEST_F(ApiRoutes, CountersHaveTheNamesOfRules) {
  rig.on_strand([&] {
    NodeStatus node{.device = DeviceId("ledger"), .connected = true, .counters = {{"events lost", 3}}};
    node.rules[RuleId(99)] = {.packets = 5, .bytes = 500};
    node.reasons["no grant"] = {.packets = 7, .bytes = 700};
    rig.distribution.known = {node};
    return 0;
  });
  expect_list("/v1/counters", "NodeCounters");
  const auto item = first_item(rig.call("GET", "/v1/counters"));
  EXPECT_EQ(item.at("events_lost").as_int64(), 3);
  EXPECT_EQ(item.at("rules").as_array().at(0).as_object().at("name").as_string(), "?") << "never applied";
  EXPECT_EQ(item.at("reasons").as_array().at(0).as_object().at("bytes").as_int64(), 700);
}

TEST_F(ApiRoutes, ListsArePaged) {
  for (int i = 0; i < 5; ++i) rig.call("POST", "/v1/tokens");
  std::set<std::string> seen;
  std::string after;
  for (int page = 0; page < 10; ++page) {
    const auto answer = rig.call("GET", "/v1/tokens?limit=2" + (after.empty() ? "" : "&after=" + after));
    const json::object whole = answer.json();
    EXPECT_LE(whole.at("items").as_array().size(), 2u);
    for (const auto& item : whole.at("items").as_array()) {
      EXPECT_TRUE(seen.insert(std::string(item.as_object().at("id").as_string())).second);
    }
    after = answer.text("next");
    if (after.empty()) break;
  }
  EXPECT_EQ(seen.size(), 6u);  // the device's own, too
  EXPECT_EQ(rig.call("GET", "/v1/tokens?limit=0").status, 400u);
  EXPECT_EQ(rig.call("GET", "/v1/tokens?limit=1001").status, 400u);
  EXPECT_EQ(rig.call("GET", "/v1/tokens?limit=2&limit=2").status, 400u);
  EXPECT_EQ(rig.call("GET", "/v1/tokens?lmit=2").text("hint"), "did you mean \"limit\"?");
}

TEST_F(ApiRoutes, BadRequestsNameThePlaceAndTheMend) {
  const auto unknown = rig.call("POST", "/v1/tokens", R"({"tag":["web"]})");
  EXPECT_EQ(unknown.status, 400u);
  EXPECT_EQ(unknown.text("detail"), "unknown member \"tag\"");
  EXPECT_EQ(unknown.text("hint"), "did you mean \"tags\"?");
  EXPECT_EQ(rig.call("POST", "/v1/tokens", R"({"uses":"two"})").text("detail"),
            "\"uses\" must be a whole number");
  EXPECT_EQ(rig.call("POST", "/v1/tokens", R"({"uses":1,"uses":2})").text("detail"),
            "member \"uses\" is given twice");
  EXPECT_EQ(rig.call("POST", "/v1/tokens", R"({"uses":1e400})").text("detail"),
            "a number is out of range at line 1, column 14");
  EXPECT_EQ(rig.call("POST", "/v1/tokens", R"({"uses":0})").status, 400u);
  EXPECT_EQ(rig.call("POST", "/v1/tokens", "[1]").status, 400u);
  EXPECT_NE(rig.call("POST", "/v1/tokens", "{\n  \"uses\": }").text("detail").find("line 2"),
            std::string::npos);
  EXPECT_EQ(rig.call("POST", "/v1/users", "{}").text("detail"), "\"name\" is missing");
  EXPECT_EQ(rig.call("GET", "/v1/devices", "{}").status, 400u);
  EXPECT_EQ(rig.call("GET", "/v2/devices").status, 404u);
  EXPECT_EQ(rig.call("GET", "/v1/devices/%zz").status, 404u);
  const auto method = rig.call("PUT", "/v1/devices");
  EXPECT_EQ(method.status, 405u);
  EXPECT_NE(method.head.find("Allow: GET"), std::string::npos);
  EXPECT_GE(rig.metrics.counted("api_refused", "400"), 5u);
}

TEST_F(ApiRoutes, AStorageThatDoesNotWriteIs503) {
  rig.store.set_trouble(Error{ErrorCode::unavailable, "the disk is full", "make room"});
  const auto refused = rig.call("POST", "/v1/tokens");
  EXPECT_EQ(refused.status, 503u);
  EXPECT_NE(refused.text("detail").find("the disk is full"), std::string::npos);
}

}  // namespace api_routes_test
}  // namespace cordon::controller
