#include "node/agent/flow_buffer.h"

#include <gtest/gtest.h>

#include <map>

#include "proto/codec.h"
#include "proto/cordon.pb.h"
#include "tests/unit/node/agent_states.h"

namespace cordon::node {
namespace flow_buffer_test {

constexpr BootNs kSecond = 1'000'000'000;
const TimeBase kBase{.sent_boot_ns = 1, .controller_time = from_us(1'800'000'000'000'000)};

FlowEvent event(FlowEvent::Kind kind, unsigned source, std::uint64_t suppressed = 0) {
  return {.kind = kind,
          .at = kSecond,
          .source = test::address("100.64.0." + std::to_string(source)),
          .destination = test::address("100.64.0.1"),
          .protocol = 6,
          .reason = kind == FlowEvent::Kind::denied ? "no grant" : "",
          .suppressed = suppressed};
}

TEST(FlowBuffer, AFloodOfDenialsIsCountedBySourceAndKeepsWhatIsOpened) {
  FlowBuffer buffer(1, 100);
  buffer.add(event(FlowEvent::Kind::opened, 9));
  std::map<std::string, std::uint64_t> happened, told;
  for (unsigned i = 0; i < 50'000; ++i) {
    const FlowEvent denied = event(FlowEvent::Kind::denied, i % 7, i % 3);
    happened[wire::encode_address(denied.source)] += denied.suppressed + 1;
    buffer.add(denied);
  }
  EXPECT_LE(buffer.size(), 101u);
  EXPECT_EQ(buffer.lost(), 0u);
  wire::FlowReport report;
  ASSERT_TRUE(buffer.next(5 * kSecond, kBase, 3, report));
  EXPECT_EQ(report.flows(0).kind(), wire::Flow::OPENED);
  EXPECT_EQ(report.lost(), 3u) << "by the kernel";
  for (const wire::Flow& flow : report.flows())
    if (flow.kind() == wire::Flow::DENIED) told[flow.source()] += flow.suppressed() + 1;
  EXPECT_EQ(told, happened) << "told and suppressed are all there were";
}

TEST(FlowBuffer, MoreSourcesThanPlacesAreCountedByTheirReason) {
  FlowBuffer buffer(1, 100);
  constexpr unsigned kDenials = 5'000;
  for (unsigned i = 0; i < kDenials; ++i) {
    FlowEvent denied = event(FlowEvent::Kind::denied, 1);
    denied.source.bytes[14] = static_cast<std::uint8_t>(i / 250);
    denied.source.bytes[15] = static_cast<std::uint8_t>(i % 250);
    if (i % 2 == 1) denied.reason = "unknown target";
    buffer.add(denied);
  }
  EXPECT_EQ(buffer.lost(), 0u);
  wire::FlowReport report;
  ASSERT_TRUE(buffer.next(5 * kSecond, kBase, 0, report));
  std::map<std::string, std::uint64_t> told;
  int others = 0;
  for (const wire::Flow& flow : report.flows()) {
    told[flow.reason()] += flow.suppressed() + 1;
    if (flow.source() == wire::encode_address({})) ++others;
  }
  EXPECT_EQ(others, 2) << "one by reason";
  EXPECT_EQ(told["no grant"], kDenials / 2);
  EXPECT_EQ(told["unknown target"], kDenials / 2);
}

TEST(FlowBuffer, SendsNoFasterThanTheControllerTakes) {
  FlowBuffer buffer(1, 16'000);
  for (unsigned i = 0; i < 16'000; ++i) buffer.add(event(FlowEvent::Kind::opened, i % 250));
  std::uint64_t sent = 0;
  const auto send = [&](BootNs now) {
    wire::FlowReport report;
    std::size_t flows = 0;
    while (buffer.next(now, kBase, 0, report)) {
      EXPECT_EQ(report.sequence(), 0u) << "no ack is wanted";
      EXPECT_LE(report.flows_size(), 512);
      flows += static_cast<std::size_t>(report.flows_size());
    }
    sent += flows;
    return flows;
  };
  EXPECT_EQ(send(5 * kSecond), 4'000u);
  EXPECT_EQ(send(5 * kSecond), 0u);
  EXPECT_EQ(send(5 * kSecond + kSecond / 2), 0u);
  EXPECT_EQ(send(6 * kSecond), 450u);
  EXPECT_EQ(send(8 * kSecond + kSecond / 2), 900u);
  EXPECT_EQ(send(9 * kSecond), 450u) << "halves of a second are not lost";
  EXPECT_EQ(send(1'000 * kSecond), 4'000u);
  EXPECT_EQ(sent + buffer.size(), 16'000u);
}

TEST(FlowBuffer, WhatWasNotAckedIsSentAgainInTheNextSession) {
  FlowBuffer buffer(1'000, 2'000);
  buffer.begin_session(true);
  for (unsigned i = 0; i < 1'200; ++i) buffer.add(event(FlowEvent::Kind::opened, i % 250));
  wire::FlowReport report;
  std::vector<std::string> sent;
  while (buffer.next(5 * kSecond, kBase, 0, report)) sent.push_back(report.SerializeAsString());
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(report.sequence(), 1'002u);
  buffer.acked(1'000);
  EXPECT_FALSE(buffer.next(5 * kSecond, kBase, 0, report)) << "not in the same session";
  buffer.begin_session(true);
  buffer.add(event(FlowEvent::Kind::opened, 9));
  for (const std::size_t again : {1u, 2u}) {
    ASSERT_TRUE(buffer.next(9 * kSecond, kBase, 0, report));
    EXPECT_EQ(report.SerializeAsString(), sent[again]);
  }
  ASSERT_TRUE(buffer.next(9 * kSecond, kBase, 0, report));
  EXPECT_EQ(report.sequence(), 1'003u);
  buffer.acked(1'003);
  buffer.begin_session(true);
  EXPECT_FALSE(buffer.next(9 * kSecond, kBase, 0, report));
  EXPECT_EQ(buffer.lost(), 0u);
}

TEST(FlowBuffer, AnAckOfTheLastSessionsReportsCountsOnlyWhenTheyWereSentInThisOne) {
  FlowBuffer buffer(1);
  buffer.begin_session(true);
  buffer.add(event(FlowEvent::Kind::opened, 9));
  wire::FlowReport report;
  ASSERT_TRUE(buffer.next(5 * kSecond, kBase, 0, report));
  buffer.begin_session(true);
  buffer.acked(1);
  EXPECT_TRUE(buffer.next(5 * kSecond, kBase, 0, report));
}

TEST(FlowBuffer, PastTheWindowEventsWaitInTheirPlacesAndWhatHasNoneIsCounted) {
  FlowBuffer buffer(1, 1'000, 600);
  buffer.begin_session(true);
  wire::FlowReport report;
  for (unsigned i = 0; i < 700; ++i) buffer.add(event(FlowEvent::Kind::opened, i % 250));
  int flows = 0;
  while (buffer.next(5 * kSecond, kBase, 0, report)) flows += report.flows_size();
  EXPECT_EQ(flows, 600);
  for (unsigned i = 0; i < 1'000; ++i) buffer.add(event(FlowEvent::Kind::opened, i % 250));
  EXPECT_EQ(buffer.lost(), 100u);
  buffer.acked(1);
  ASSERT_TRUE(buffer.next(5 * kSecond, kBase, 7, report));
  EXPECT_EQ(report.flows_size(), 512);
  EXPECT_EQ(report.lost(), 107u) << "with the kernel's";
}

TEST(FlowBuffer, WhatAnOlderControllerMayOrMayNotHaveIsCountedAsLost) {
  FlowBuffer buffer(1);
  buffer.begin_session(true);
  buffer.add(event(FlowEvent::Kind::denied, 1, 4));
  buffer.add(event(FlowEvent::Kind::opened, 2));
  wire::FlowReport report;
  ASSERT_TRUE(buffer.next(5 * kSecond, kBase, 0, report));
  buffer.begin_session(false);
  EXPECT_EQ(buffer.lost(), 6u);
  EXPECT_FALSE(buffer.next(5 * kSecond, kBase, 0, report));
}

}  // namespace flow_buffer_test
}  // namespace cordon::node
