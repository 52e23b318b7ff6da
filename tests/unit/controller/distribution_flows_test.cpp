// Flow reports with numbers: acked, and taken once.

#include <gtest/gtest.h>

#include "controller/flows/flows.h"
#include "tests/support/hub_rig.h"

namespace cordon::controller {
namespace distribution_flows_test {

using namespace test;

struct NumberedFlows : testing::Test, HubRig {
  void begin(HeldNode& node, const std::string& boot) {
    wire::ToController hello = node.fake.hello_message();
    hello.mutable_hello()->set_boot_id(boot);
    node.link->frames.clear();
    open(node, hello.hello());
    while (taken(node)) continue;
  }
  void report(HeldNode& node, std::uint64_t sequence, std::uint32_t port) {
    wire::ToController message;
    message.mutable_flows()->set_sequence(sequence);
    wire::Flow& flow = *message.mutable_flows()->add_flows();
    flow.set_source(wire::encode_address(must(Address::parse("192.0.2.9"))));
    flow.set_destination(wire::encode_address(must(Address::parse("192.0.2.10"))));
    flow.set_protocol(6);
    flow.set_source_port(port);
    receive(node, message);
  }
  /// The numbers that were acked since.
  std::vector<std::uint64_t> acks(HeldNode& node) {
    std::vector<std::uint64_t> out;
    while (const auto said = taken(node))
      if (said->has_flow_ack()) out.push_back(said->flow_ack().sequence());
    return out;
  }
  bool is_acked(HeldNode& node, std::uint64_t sequence) {
    const auto end = std::chrono::steady_clock::now() + Seconds(10);
    while (std::chrono::steady_clock::now() < end) {
      for (const std::uint64_t acked : acks(node))
        if (acked >= sequence) return acked == sequence;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
  }
  std::multiset<std::uint32_t> kept(std::size_t at_least) {
    EXPECT_TRUE(rig.eventually([&] { return must(rig.flows->query({})).size() >= at_least; }));
    std::multiset<std::uint32_t> ports;
    for (const FlowRecord& flow : rig.on_strand([&] { return must(rig.flows->query({})); }))
      ports.insert(flow.source_port);
    return ports;
  }
};

TEST_F(NumberedFlows, AreAckedOnceTheyAreKeptAndTakenOnce) {
  HeldNode web(rig.add_device("web")), ledger(rig.add_device("ledger"));
  begin(web, "boot-1");
  begin(ledger, "boot-1");
  report(web, 1'000, 1);
  EXPECT_TRUE(is_acked(web, 1'000));
  EXPECT_EQ(kept(1).size(), 1u) << "by then";
  report(web, 1'001, 2);
  report(ledger, 1'000, 3);
  EXPECT_TRUE(is_acked(web, 1'001));
  EXPECT_TRUE(is_acked(ledger, 1'000)) << "of another node";
  begin(web, "boot-1");  // the acks were lost with the link
  report(web, 1'000, 1);
  EXPECT_TRUE(is_acked(web, 1'001)) << "all that is kept";
  report(web, 1'001, 2);
  report(web, 1'002, 4);
  EXPECT_TRUE(is_acked(web, 1'001) && is_acked(web, 1'002));
  begin(web, "boot-2");
  report(web, 7, 5);
  EXPECT_TRUE(is_acked(web, 7)) << "numbers begin anew with a boot";
  EXPECT_EQ(kept(5), (std::multiset<std::uint32_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(rig.metrics.counted("flow_reports_again"), 2u);
}

TEST_F(NumberedFlows, WhatIsKeptIsKnownAfterARestart) {
  HeldNode web(rig.add_device("web"));
  begin(web, "boot-1");
  report(web, 1'000, 1);
  EXPECT_TRUE(is_acked(web, 1'000));
  Metrics metrics;
  const DistributionLimits limits;
  const auto again = must(Flows::open(rig.dir() / "flows.db", metrics));
  rig.on_strand([&] {
    FlowIntake intake(*again, metrics, system_clock(), limits);
    const AddressBook book(rig.log->world());
    wire::FlowReport told;
    told.set_sequence(1'000);
    EXPECT_EQ(intake.take(DeviceId("web"), "boot-1", told, book, rig.log->world()), 1'000u);
    told.set_sequence(1'001);
    EXPECT_EQ(intake.take(DeviceId("web"), "boot-1", told, book, rig.log->world()), 0u) << "once it is kept";
    EXPECT_FALSE(intake.kept({.node = DeviceId("web"), .boot = "boot-0", .sequence = 5}));
    return 0;
  });
  EXPECT_EQ(metrics.counted("flow_reports_again"), 1u);
}

TEST_F(NumberedFlows, AnOlderNodesHaveNoneAndAreTakenAsTheyCome) {
  HeldNode web(rig.add_device("web"));
  begin(web, "boot-1");
  report(web, 0, 1);
  report(web, 0, 1);
  EXPECT_EQ(kept(2), (std::multiset<std::uint32_t>{1, 1}));
  report(web, 1, 2);  // an ack behind which others would be heard
  EXPECT_TRUE(is_acked(web, 1));
}

}  // namespace distribution_flows_test
}  // namespace cordon::controller
