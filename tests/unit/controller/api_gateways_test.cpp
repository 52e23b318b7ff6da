// What stands behind a gateway, over the API: how it is added, shown, and what a plan says of its gateway.
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

#include "controller/api/fields.h"
#include "controller/api/routes.h"
#include "proto/features.h"
#include "tests/support/api_rig.h"

namespace cordon::controller {
namespace api_gateways_test {

constexpr const char* kAdd =
    R"({"device":"printer","gateway":"gw-1","prefixes":["192.168.7.20","2001:db8:7::/64"],"tags":["print"],)"
    R"("ownership":"company"})";

class ApiGateways : public testing::Test {
 protected:
  ApiGateways() {
    rig.add_device("gw-1");
    rig.add_device("laptop");
  }
  NodeStatus told(const char* device, const std::vector<const char*>& subnets, bool knows = true) {
    NodeStatus node{.device = DeviceId(device), .connected = true};
    node.features.emplace({std::string(wire::kFeatureState1)});
    if (knows) node.features->insert(std::string(wire::kFeatureGateways1));
    for (const char* subnet : subnets) node.gateway_subnets.push_back(test::must(Prefix::parse(subnet)));
    return node;
  }
  std::string warnings_of(const test::Answer& answer) {
    return boost::json::serialize(answer.json().at("warnings"));
  }

  test::ApiRig rig;
};

TEST_F(ApiGateways, ADeviceIsAddedBehindAnotherAndShown) {
  rig.distribution.known = {told("gw-1", {"192.168.7.0/24", "2001:db8:7::/64"}), told("laptop", {})};
  const auto added = rig.call("POST", "/v1/devices", kAdd);
  ASSERT_EQ(added.status, 200u) << added.body;
  EXPECT_TRUE(api::check_object(added.json(), api::schema("DeviceAdded"), "")) << added.body;
  EXPECT_EQ(warnings_of(added), "[]");
  const auto shown = rig.call("GET", "/v1/devices/printer");
  EXPECT_TRUE(api::check_object(shown.json(), api::schema("Device"), "")) << shown.body;
  EXPECT_EQ(shown.text("gateway"), "gw-1");
  EXPECT_EQ(boost::json::serialize(shown.json().at("prefixes")), R"(["192.168.7.20/32","2001:db8:7::/64"])");
  EXPECT_EQ(shown.text("ownership"), "company");
  EXPECT_FALSE(shown.json().at("connected").as_bool()) << "it has no node";
  const auto gateway = rig.call("GET", "/v1/devices/gw-1");
  EXPECT_TRUE(gateway.json().at("gateway").is_null());
  EXPECT_EQ(boost::json::serialize(gateway.json().at("gateway_subnets")),
            R"(["192.168.7.0/24","2001:db8:7::/64"])");
  EXPECT_TRUE(gateway.json().at("connected").as_bool());
  EXPECT_NE(rig.call("GET", "/v1/nodes").body.find(R"("gateway_subnets":["192.168.7.0/24")"),
            std::string::npos);

  EXPECT_EQ(rig.call("POST", "/v1/devices/gw-1/isolate", "{}").status, 200u);
  EXPECT_TRUE(rig.call("GET", "/v1/devices/printer").json().at("gateway_isolated").as_bool());
  const auto removed = rig.call("DELETE", "/v1/devices/gw-1");
  EXPECT_EQ(removed.status, 409u) << removed.body;
  EXPECT_NE(removed.text("detail").find("printer"), std::string::npos) << removed.body;
  EXPECT_EQ(rig.call("POST", "/v1/devices/printer/isolate", "{}").status, 200u);
  EXPECT_EQ(rig.call("POST", "/v1/devices/printer/release", "{}").status, 200u);
  EXPECT_EQ(rig.call("DELETE", "/v1/devices/printer").status, 200u);
}

TEST_F(ApiGateways, WhatTheGatewayDoesNotSayItForwardsToIsWarnedOf) {
  rig.distribution.known = {told("gw-1", {"192.168.7.0/24"})};
  const auto added = rig.call("POST", "/v1/devices", kAdd);
  EXPECT_NE(warnings_of(added).find("gw-1 doesn't forward to 2001:db8:7::/64 of printer"), std::string::npos)
      << added.body;
  EXPECT_EQ(warnings_of(added).find("192.168.7.20"), std::string::npos) << "that it does";
  rig.distribution.known = {};
  const auto unknown =
      rig.call("POST", "/v1/devices", R"({"device":"plant","gateway":"gw-1","prefixes":["10.1.0.0/16"]})");
  EXPECT_NE(warnings_of(unknown).find("hasn't connected yet"), std::string::npos) << unknown.body;
  rig.distribution.known = {told("gw-1", {}, false)};
  const auto old =
      rig.call("POST", "/v1/devices", R"({"device":"attic","gateway":"gw-1","prefixes":["10.2.0.0/16"]})");
  EXPECT_EQ(old.status, 409u) << old.body;
  EXPECT_NE(old.text("hint").find("upgrade cordon-node there first"), std::string::npos) << old.body;
}

TEST_F(ApiGateways, WhatCanNotBeIsRefusedWithItsMend) {
  const auto refused = [&](const char* body, unsigned status, const char* what) {
    const auto answer = rig.call("POST", "/v1/devices", body);
    EXPECT_EQ(answer.status, status) << answer.body;
    EXPECT_NE(answer.text("detail").find(what), std::string::npos) << answer.body;
  };
  refused(R"({"device":"x","gateway":"nobody","prefixes":["10.1.0.0/16"]})", 404, "no device \"nobody\"");
  refused(R"({"device":"x","gateway":"gw-1","prefixes":["10.1.0.1/16"]})", 400, "10.1.0.1/16");
  refused(R"({"device":"x","gateway":"gw-1","prefixes":["100.64.0.0/16"]})", 400, "overlaps the overlay");
  refused(R"({"device":"x","gateway":"gw-1","prefixes":["127.0.0.0/8"]})", 400, "loopback");
  refused(R"({"device":"x","gateway":"gw-1","prefixes":[]})", 400, "has no prefix");
  refused(R"({"device":"x","gateway":"gw-1","prefixes":["10.1.0.0/16"],"ownership":"mine"})", 400,
          "\"mine\"");
}

// I9: nobody's way to the controller leads into a tunnel.
TEST_F(ApiGateways, APrefixNeverHoldsAController) {
  rig.config.advertise_addresses = {test::must(Address::parse("192.0.2.10"))};
  const auto answer =
      rig.call("POST", "/v1/devices", R"({"device":"x","gateway":"gw-1","prefixes":["192.0.2.0/24"]})");
  EXPECT_EQ(answer.status, 400u) << answer.body;
  EXPECT_NE(answer.text("detail").find("192.0.2.10, where nodes reach a controller"), std::string::npos)
      << answer.body;
  EXPECT_EQ(rig.call("POST", "/v1/devices", R"({"device":"x","gateway":"gw-1","prefixes":["192.0.2.0/29"]})")
                .status,
            200u);
}

TEST_F(ApiGateways, APlanWarnsOfGatewaysThatDoNotForwardAndOfNodesTooOldToReachThem) {
  rig.add_user("clerk@acme.example", "long enough a password");
  rig.distribution.known = {told("gw-1", {"192.168.7.0/24"}), told("laptop", {}, false)};
  ASSERT_EQ(rig.call("POST", "/v1/devices", kAdd).status, 200u);
  ASSERT_EQ(
      rig.call("POST", "/v1/devices", R"({"device":"elsewhere","gateway":"gw-1","prefixes":["10.9.0.0/16"]})")
          .status,
      200u);
  rig.add(kinds::DeviceTagged{DeviceId("laptop"), {"desk"}});
  const std::string policy =
      R"({"files":[{"name":"p.toml","text":"[segments.print]\nmembers = [\"tag:print\"]\n)"
      R"([segments.print.services]\njobs = [\"tcp/9100\"]\n[[allow]]\nname = \"desks\"\n)"
      R"(from = { tags = [\"desk\"] }\nto = [\"print/jobs\"]\n"}]})";
  const auto plan = rig.call("POST", "/v1/policy/plan", policy);
  ASSERT_EQ(plan.status, 200u) << plan.body;
  EXPECT_NE(plan.body.find("not-forwarded"), std::string::npos) << plan.body;
  EXPECT_NE(plan.body.find("gw-1 doesn't forward to 2001:db8:7::/64 of printer"), std::string::npos)
      << plan.body;
  EXPECT_EQ(plan.body.find("10.9.0.0"), std::string::npos) << "the policy doesn't speak of it";
  EXPECT_NE(plan.body.find("too-old-for-gateways"), std::string::npos) << plan.body;
  EXPECT_NE(plan.body.find(R"("lines":["laptop"])"), std::string::npos) << plan.body;

  rig.distribution.known = {told("gw-1", {"192.168.7.0/24", "2001:db8::/32"}), told("laptop", {})};
  const auto well = rig.call("POST", "/v1/policy/plan", policy);
  EXPECT_EQ(well.body.find("not-forwarded"), std::string::npos) << well.body;
  EXPECT_EQ(well.body.find("too-old-for-gateways"), std::string::npos) << well.body;
}

}  // namespace api_gateways_test
}  // namespace cordon::controller
