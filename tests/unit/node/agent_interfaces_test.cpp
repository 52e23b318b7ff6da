// Interfaces come at once under the guard; routes that change by the thousand don't eat the daemon.

#include "tests/support/agent_rig.h"

namespace cordon::node {
namespace agent_interfaces_test {

using std::chrono::milliseconds;
using test::FakeLink;

/// Tells what the test says, and counts what it is asked.
class ToldNetwork : public test::FakeNetwork {
 public:
  using FakeNetwork::FakeNetwork;
  Result<std::vector<Link>> links() const override {
    ++looks;
    return FakeNetwork::links();
  }
  Result<> set_up(unsigned ifindex, std::uint32_t mtu_bytes) override {
    ++set_ups;
    return FakeNetwork::set_up(ifindex, mtu_bytes);
  }
  NetworkChanges drain() override {
    FakeNetwork::drain();
    return told;
  }
  NetworkChanges told{.any = true, .links = false, .links_here = {}};
  mutable unsigned looks = 0;
  unsigned set_ups = 0;
};

class AgentInterfaces : public test::AgentRig {
 protected:
  AgentInterfaces() {
    used_network = &told_network;
    enrolled();
    serve([](FakeLink& link) { link.read(); });
    run_agent();
  }
  ToldNetwork told_network{steps};
};

TEST_F(AgentInterfaces, ChangesByTheHundredAreFollowedTenTimesASecond) {
  const auto begun = std::chrono::steady_clock::now();
  told_network.looks = told_network.set_ups = 0;
  unsigned pokes = 0;
  const auto spent = [&] { return (std::chrono::steady_clock::now() - begun) / milliseconds(1); };
  while (spent() < 450) {
    told_network.pipe.poke();
    ++pokes;
    io.poll();
    io.restart();
  }
  EXPECT_GT(pokes, 50u);
  EXPECT_GE(told_network.set_ups, 1u);
  EXPECT_LE(told_network.set_ups, 2 + spent() / 100) << "in " << spent() << " ms";
  EXPECT_LE(told_network.looks, 1 + spent() / 1'000) << "routes are no links: only the tick looks at those";
  finish();
}

TEST_F(AgentInterfaces, AnUnderlayInTheOverlaysPrefixIsAnAlarmAsLongAsItIs) {
  const auto alarms = [&] {
    const auto all = agent->alarms();
    return std::ranges::count_if(all, [](const std::string& a) { return a.contains("overlay's prefix"); });
  };
  EXPECT_EQ(alarms(), 0);
  told_network.networks = {Prefix::parse("100.64.7.0/24").value()};
  told_network.pipe.poke();
  EXPECT_TRUE(until([&] { return alarms() == 1; })) << "addresses that change are looked at soon";
  EXPECT_EQ(filter.networks, told_network.networks);
  told_network.networks.clear();
  told_network.pipe.poke();
  EXPECT_TRUE(until([&] { return alarms() == 0; }));
  finish();
}

TEST_F(AgentInterfaces, ANewOneIsGuardedAtOnceAlsoAmongManyChanges) {
  EXPECT_EQ(filter.underlay, (std::vector<unsigned>{2, 3}));
  bool at_once = false;  // a look that was due anyway may come first
  for (unsigned index = 7; index < 12 && !at_once; ++index) {
    const unsigned before = told_network.set_ups;
    told_network.told = {.any = true, .links = false, .links_here = {}};
    told_network.pipe.poke();
    ASSERT_TRUE(until([&] { return told_network.set_ups > before; })) << "so the next look waits";
    told_network.all.push_back({.index = index, .name = "eth" + std::to_string(index)});
    told_network.told = {.any = true, .links = true, .links_here = {2, index}};
    const unsigned looked = told_network.set_ups;
    told_network.pipe.poke();
    const auto guarded = [&] { return filter.underlay.back() == index; };
    for (int handler = 0; handler < 10'000 && !guarded(); ++handler) io.run_one_for(milliseconds(1));
    ASSERT_TRUE(guarded());
    at_once = told_network.set_ups == looked;
    EXPECT_TRUE(until([&] { return told_network.set_ups > looked; })) << "the rest follows";
  }
  EXPECT_TRUE(at_once);
  finish();
}

}  // namespace agent_interfaces_test
}  // namespace cordon::node
