// What stands behind a gateway, as nodes are told of it and tell of it.

#include <gtest/gtest.h>

#include "controller/flows/flows.h"
#include "tests/support/hub_rig.h"

namespace cordon::controller {
namespace distribution_behind_test {

using namespace test;

struct BehindNodes : testing::Test, HubRig {
  BehindNodes() : gateway(rig.add_device("gw-1")), web(rig.add_device("web", {"web"})) {
    rig.apply_policy(kWebToLedger);
    open(gateway, says({"192.168.7.0/24"}));
    open(web);
    settle();
  }
  wire::Hello says(const std::vector<const char*>& subnets) {
    wire::ToController message = gateway.fake.hello_message();
    for (const char* subnet : subnets)
      wire::encode_prefix(must(Prefix::parse(subnet)), message.mutable_hello()->add_gateway_subnets());
    return message.hello();
  }
  void settle() {
    for (int quiet = 0; quiet < 3;) {
      const bool some = taken(gateway).has_value() | taken(web).has_value();
      quiet = some ? 0 : quiet + 1;
      rig.on_strand([] { return 0; });
    }
  }
  Revision put_behind() {
    const Revision revision = rig.add(kinds::DeviceAdded{.device = DeviceId("ledger"),
                                                         .gateway = DeviceId("gw-1"),
                                                         .prefixes = {must(Prefix::parse("192.168.7.20/32"))},
                                                         .tags = {"settlement"},
                                                         .ownership = {}});
    settle();
    return revision;
  }
  std::set<std::string> concerned(Revision revision, bool acked = true) {
    std::set<std::string> out;
    for (const ReceiptStatus& status : rig.on_strand([&] { return hub->receipts(revision); })) {
      EXPECT_EQ(status.acked, acked) << status.device.value;
      out.insert(status.device.value);
    }
    return out;
  }

  HeldNode gateway, web;
};

TEST_F(BehindNodes, ItsGatewayAndWhoReachesItAreToldAndAckAndItIsNoNode) {
  EXPECT_EQ(concerned(put_behind()), (std::set<std::string>{"gw-1", "web"}));
  const policy::TargetKey at{must(Prefix::parse("192.168.7.20/32"))};
  EXPECT_TRUE(gateway.fake.state().entries.contains(at));
  EXPECT_TRUE(web.fake.state().entries.contains(at));
  const auto isolated = rig.add(kinds::DeviceIsolated{DeviceId("ledger"), "test"});
  settle();
  EXPECT_EQ(concerned(isolated), (std::set<std::string>{"gw-1", "web"})) << "nothing waits for it";
  EXPECT_FALSE(web.fake.state().entries.contains(at));
  for (const NodeStatus& node : rig.on_strand([&] { return hub->nodes(); }))
    EXPECT_NE(node.device.value, "ledger");
}

TEST_F(BehindNodes, WhatAGatewayForwardsToIsKeptAsItLastSaid) {
  const auto told = [&] {
    return rig.on_strand([&] { return hub->told().at(DeviceId("gw-1")).gateway_subnets; });
  };
  EXPECT_EQ(told(), (std::vector<Prefix>{must(Prefix::parse("192.168.7.0/24"))}));
  open(gateway, says({"192.168.8.0/24", "2001:db8:7::/64"}));
  EXPECT_EQ(told(), (std::vector<Prefix>{must(Prefix::parse("192.168.8.0/24")),
                                         must(Prefix::parse("2001:db8:7::/64"))}));
  open(gateway, says({}));
  EXPECT_TRUE(told().empty());
}

TEST_F(BehindNodes, AFlowToItIsNamedByItAndNotByItsGateway) {
  put_behind();
  const Address from =
      rig.on_strand([&] { return rig.log->world().devices.at(DeviceId("web")).addresses.v4; });
  wire::ToController message;
  const auto add = [&](const char* destination, wire::Flow::Kind kind) {
    wire::Flow& flow = *message.mutable_flows()->add_flows();
    flow.set_kind(kind);
    flow.set_at_us(to_us(rig.services->clock.now()));
    flow.set_source(wire::encode_address(from));
    flow.set_destination(wire::encode_address(must(Address::parse(destination))));
    flow.set_protocol(6);
    flow.set_destination_port(5432);
  };
  message.mutable_flows()->set_sequence(1);
  add("192.168.7.20", wire::Flow::OPENED);
  add("192.168.7.21", wire::Flow::OPENED);
  add("192.168.7.20", wire::Flow::UNDERLAY);
  receive(gateway, message);
  ASSERT_TRUE(rig.eventually([&] { return must(rig.flows->query({})).size() == 3; }));
  std::multiset<std::string> told;
  for (const FlowRecord& flow : rig.on_strand([&] { return must(rig.flows->query({})); }))
    told.insert(flow.kind + " " + flow.destination_device + " " + flow.segment + "/" + flow.service);
  EXPECT_EQ(told,
            (std::multiset<std::string>{"opened  /", "opened ledger settlement/ledger", "underlay gw-1 /"}));
}

}  // namespace distribution_behind_test
}  // namespace cordon::controller
