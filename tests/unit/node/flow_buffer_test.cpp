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
  FlowBuffer buffer(100);
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
  buffer.take(1'000, kBase, 3, report);
  EXPECT_EQ(report.flows(0).kind(), wire::Flow::OPENED);
  EXPECT_EQ(report.lost(), 3u) << "by the kernel";
  for (const wire::Flow& flow : report.flows())
    if (flow.kind() == wire::Flow::DENIED) told[flow.source()] += flow.suppressed() + 1;
  EXPECT_EQ(told, happened) << "told and suppressed are all there were";
}

TEST(FlowBuffer, SendsNoFasterThanTheControllerTakes) {
  FlowBuffer buffer(16'000);
  for (unsigned i = 0; i < 16'000; ++i) buffer.add(event(FlowEvent::Kind::opened, i % 250));
  std::uint64_t sent = 0;
  const auto send = [&](BootNs now) {
    wire::FlowReport report;
    buffer.take(buffer.due(now), kBase, 0, report);
    sent += static_cast<std::uint64_t>(report.flows_size());
    return static_cast<std::size_t>(report.flows_size());
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

}  // namespace flow_buffer_test
}  // namespace cordon::node
