// What the agent finds wrong on its machine is mended and told.

#include "tests/support/agent_rig.h"

namespace cordon::node {
namespace agent_alarms_test {

using std::chrono::milliseconds;
using test::base_state;
using test::FakeLink;

class AgentAlarms : public test::AgentRig {};

TEST_F(AgentAlarms, WhatTheFilterFoundAndMendedIsToldToTheController) {
  enrolled();
  std::atomic<bool> told = false;
  serve([&](FakeLink& link) {
    if (!welcome(link)) return;
    while (const auto message = link.read()) {
      if (!message->has_heartbeat()) continue;
      answer_heartbeat(link, message->heartbeat(), 1);
      for (const std::string& alarm : message->heartbeat().alarms())
        told = told || alarm == "filter: the filter is not first: put first again";
    }
  });
  run_agent();
  filter.wrong = {"the filter is not first: put first again"};
  EXPECT_TRUE(until([&] { return told.load(); }));
  filter.wrong.clear();
  EXPECT_FALSE(until([&] { return agent->alarms().empty(); }, milliseconds(2'500)))
      << "it stands for a while";
  finish();
}

TEST_F(AgentAlarms, AnInterfaceThatIsNotGuardedIsAnAlarmAndTriedAgain) {
  enrolled();
  serve([](FakeLink& link) { link.read(); });
  filter.underlay_broken = true;
  run_agent();
  const auto alarmed = [&] {
    return std::ranges::any_of(agent->alarms(),
                               [](const auto& a) { return a.starts_with("underlay guard"); });
  };
  EXPECT_TRUE(alarmed());
  EXPECT_EQ(network.mtu, 1420u) << "the rest goes on";
  filter.underlay_broken = false;
  EXPECT_TRUE(until([&] { return !alarmed(); }));
  finish();
}

TEST_F(AgentAlarms, ATunnelThatDiedIsSetUpAgain) {
  enrolled();
  std::atomic<bool> acked = false;
  serve([&](FakeLink& link) {
    if (!welcome(link)) return;
    send_state(link, base_state(), 1, 2);
    while (const auto message = link.read())
      if (message->has_ack()) acked = true;
  });
  run_agent();
  ASSERT_TRUE(until([&] { return acked.load(); }));
  steps.clear();
  tunnel.died = true;
  EXPECT_TRUE(until([&] {
    return std::ranges::find(
               steps,
               "network.routes 100.64.0.0/10 src 100.64.0.2 fd12:3456:789a::/48 src fd12:3456:789a::2") !=
           steps.end();
  }));
  EXPECT_EQ(steps.at(0), "tunnel.key");
  EXPECT_EQ(steps.at(1), "filter.attach_overlay 42");
  const auto alarmed = [&](std::string_view what) {
    return std::ranges::any_of(agent->alarms(), [&](const auto& a) { return a.contains(what); });
  };
  EXPECT_TRUE(alarmed("made anew")) << "it stands for a while";
  // What couldn't be set up is tried again, though the tunnel itself is there.
  tunnel.broken = tunnel.died = true;
  EXPECT_TRUE(until([&] { return alarmed("the tunnel is gone"); }));
  steps.clear();
  tunnel.broken = false;
  EXPECT_TRUE(until([&] { return !alarmed("the tunnel is gone"); }));
  EXPECT_NE(std::ranges::find(steps, "filter.attach_overlay 42"), steps.end());
  finish();
}

}  // namespace agent_alarms_test
}  // namespace cordon::node
