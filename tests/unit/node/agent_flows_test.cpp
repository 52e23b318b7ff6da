// Flow reports on their way to the controller.

#include "proto/features.h"
#include "tests/support/agent_rig.h"

namespace cordon::node {
namespace agent_flows_test {

using std::chrono::milliseconds;
using test::base_state;
using test::FakeLink;

class AgentFlows : public test::AgentRig {};

TEST_F(AgentFlows, MoreEventsThanOneWakeTakesAreAllReported) {
  enrolled();
  std::atomic<int> reported = 0;
  serve([&](FakeLink& link) {
    if (!welcome(link)) return;
    send_state(link, base_state(), 1, 2);
    while (const auto message = link.read()) {
      if (message->has_flows()) reported += message->flows().flows_size();
      if (message->has_heartbeat()) answer_heartbeat(link, message->heartbeat(), 2);
    }
  });
  filter.events_at_once = 3;
  run_agent();
  ASSERT_TRUE(until([&] { return filter.confirmed != 0; }));
  for (std::uint16_t i = 0; i < 100; ++i) {
    filter.events.push_back({.at = system_clock().boot_ns(),
                             .source = test::address("100.64.0.9"),
                             .destination = test::address("100.64.0.2"),
                             .protocol = 6,
                             .source_port = i,
                             .destination_port = 5432});
  }
  filter.pipe.poke();  // once
  EXPECT_TRUE(until([&] { return reported == 100; })) << reported;
  finish();
}

TEST_F(AgentFlows, ReportsThatWereNotAckedComeAgainAndNoOthers) {
  enrolled();
  std::atomic<int> turn = 0;
  std::atomic<bool> ready = false, over = false;
  std::vector<std::uint64_t> first, second;  // of the controller's thread until finish()
  std::vector<std::uint32_t> ports;
  serve([&](FakeLink& link) {
    const int now = turn++;
    if (!welcome(link, 1, {wire::kFeatureFlows1})) return;
    ready = true;
    while (const auto message = link.read()) {
      if (now == 0 && message->has_ack()) {  // it has heard of the first; the session ends with two unacked
        wire::ToNode out;
        out.mutable_goodbye()->set_reason("restarting");
        link.send(out);
        return;
      }
      if (!message->has_flows()) continue;
      (now == 0 ? first : second).push_back(message->flows().sequence());
      for (const auto& flow : message->flows().flows())
        if (now == 1) ports.push_back(flow.source_port());
      if (now == 0 && first.size() == 3) {
        wire::ToNode ack;
        ack.mutable_flow_ack()->set_sequence(first.front());
        link.send(ack);
        send_state(link, base_state(), 1, 2);
      }
      over = over || second.size() == 3;
    }
  });
  run_agent();
  std::uint16_t port = 0;
  const auto open_reports = [&](std::size_t reports) {
    for (std::size_t i = 0; i < reports * FlowBuffer::kAReport; ++i)
      filter.events.push_back({.at = system_clock().boot_ns(),
                               .source = test::address("100.64.0.9"),
                               .destination = test::address("100.64.0.2"),
                               .protocol = 6,
                               .source_port = port++,
                               .destination_port = 5432});
    filter.pipe.poke();
  };
  ASSERT_TRUE(until([&] { return ready.load(); }));
  open_reports(3);
  ASSERT_TRUE(until([&] { return turn == 2; }));
  open_reports(1);
  EXPECT_TRUE(until([&] { return over.load(); }));
  finish();
  ASSERT_EQ(first.size(), 3u);
  EXPECT_NE(first[0], 0u);
  ASSERT_EQ(second.size(), 3u);
  EXPECT_EQ(second[0], first[1]);
  EXPECT_EQ(second[1], first[2]);
  EXPECT_GT(second[2], first[2]);
  ASSERT_EQ(ports.size(), 3 * FlowBuffer::kAReport);
  EXPECT_EQ(ports.front(), FlowBuffer::kAReport);
  EXPECT_TRUE(std::ranges::is_sorted(ports));
}

}  // namespace agent_flows_test
}  // namespace cordon::node
