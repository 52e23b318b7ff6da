// What a node tells of its sessions' silence.
#include "node/agent/activity.h"

#include <gtest/gtest.h>

#include "proto/cordon.pb.h"
#include "proto/features.h"
#include "tests/unit/node/agent_fakes.h"
#include "tests/unit/node/agent_states.h"

namespace cordon::node {
namespace activity_test {

using namespace test;
using std::chrono::seconds;
using Told = std::map<std::string, std::uint32_t>;

class SessionActivity : public ::testing::Test {
 protected:
  SessionActivity() { state.entries[policy::LocalSessionKey{kTrader}] = session(); }

  void look() { activity.look(filter, state, clock.boot_ns()); }
  Told told() {
    wire::Heartbeat heartbeat;
    activity.tell(heartbeat, clock.boot_ns());
    Told out;
    for (const auto& one : heartbeat.sessions()) out[one.session()] = one.silent_s();
    return out;
  }
  /// A packet now.
  void packet(const char* from) { filter.packets[address(from)] = clock.boot_ns(); }

  const SessionId kTrader{"s-0000000000000001"};
  Steps steps;
  FakeFilter filter{steps};
  FakeClock clock;
  policy::NodeState state = base_state();
  Activity activity;
};

TEST_F(SessionActivity, IsTheTimeSinceTheLastPacketOfEitherFamily) {
  packet("100.64.1.1");
  clock.advance(seconds(30));
  look();
  EXPECT_EQ(told(), (Told{{kTrader.value, 30}}));
  clock.advance(seconds(15));
  EXPECT_EQ(told(), (Told{{kTrader.value, 45}}));
  packet("fd12:3456:789a::1:1");
  clock.advance(seconds(1));
  look();
  EXPECT_EQ(told(), (Told{{kTrader.value, 1}}));
}

TEST_F(SessionActivity, IsRememberedWhenTheFlowIsGone) {
  packet("100.64.1.1");
  look();
  filter.packets.clear();
  clock.advance(seconds(900));
  look();
  EXPECT_EQ(told(), (Told{{kTrader.value, 900}}));
}

TEST_F(SessionActivity, IsOfSessionsAloneAndOfEachItsOwn) {
  auto other = session(1001);
  other.v4 = address("100.64.1.2");
  other.v6 = {};
  state.entries[policy::LocalSessionKey{SessionId("s-2")}] = other;
  packet("100.64.0.2");  // the device's own
  packet("100.64.1.2");
  look();
  EXPECT_EQ(told(), (Told{{"s-2", 0}})) << "nothing is told of the one that had no packet";
}

TEST_F(SessionActivity, GoesWithItsSession) {
  packet("100.64.1.1");
  look();
  state.entries.erase(policy::LocalSessionKey{kTrader});
  clock.advance(seconds(10));
  look();
  EXPECT_EQ(told(), Told{});
  // The address goes to the next session: what the first did isn't that one's, but its flows are all gone.
  filter.packets.clear();
  state.entries[policy::LocalSessionKey{SessionId("s-2")}] = session();
  clock.advance(seconds(10));
  look();
  EXPECT_EQ(told(), Told{});
}

TEST_F(SessionActivity, IsAskedForNowAndThenAndOnlyWhileSomebodyIsSignedIn) {
  for (int i = 0; i < 32; ++i, clock.advance(seconds(1))) look();
  EXPECT_EQ(filter.asked_for_packets, 4);
  state = base_state();
  for (int i = 0; i < 32; ++i, clock.advance(seconds(1))) look();
  EXPECT_EQ(filter.asked_for_packets, 4);
}

TEST_F(SessionActivity, ThatCantBeReadIsAnAlarmAndGetsOlder) {
  packet("100.64.1.1");
  look();
  EXPECT_EQ(activity.alarm(), "");
  filter.packets_broken = true;
  clock.advance(seconds(60));
  packet("100.64.1.1");
  look();
  EXPECT_NE(activity.alarm().find("no such map"), std::string::npos) << activity.alarm();
  EXPECT_EQ(told(), (Told{{kTrader.value, 60}}));
  filter.packets_broken = false;
  clock.advance(seconds(10));
  look();
  EXPECT_EQ(activity.alarm(), "");
  EXPECT_EQ(told(), (Told{{kTrader.value, 10}}));
}

TEST_F(SessionActivity, IsBoundedByWhatAControllerTakes) {
  for (std::uint32_t i = 0; i < 5000; ++i) {
    auto value = session(i);
    value.v4 = address("100.65." + std::to_string(i / 250) + "." + std::to_string(i % 250));
    state.entries[policy::LocalSessionKey{SessionId("x-" + std::to_string(i))}] = value;
    filter.packets[value.v4] = clock.boot_ns();
  }
  look();
  EXPECT_EQ(told().size(), wire::kMostToldSessions);
}

}  // namespace activity_test
}  // namespace cordon::node
