// The agent's hold on the underlay: after a boot, and while its host is isolated.

#include <future>

#include "node/agent/state_file.h"
#include "tests/support/agent_rig.h"

namespace cordon::node {
namespace agent_isolation_test {

using std::chrono::milliseconds;
using test::base_state;
using test::FakeLink;

class AgentIsolation : public test::AgentRig {};

TEST_F(AgentIsolation, AfterABootTheGuardFileGuardsAndGrantsNothing) {
  enrolled();
  policy::NodeState guards, saved = base_state();
  saved.entries[policy::GuardKey{.protocol = 6, .ports = {5432, 5432}}] = policy::GuardValue{};
  guards.entries[policy::SettingsKey{}] = test::settings();
  guards.entries[policy::GuardKey{.protocol = 6, .ports = {5432, 5432}}] = policy::GuardValue{};
  ASSERT_TRUE(GuardFile(store.directory()).keep(Revision{1}, saved, {}));
  serve([](FakeLink& link) { link.read(); });
  run_agent();
  EXPECT_EQ(filter.held, guards);
  EXPECT_EQ(filter.confirmed, 0u);
  EXPECT_LT(std::ranges::find(steps, "filter.replace"), std::ranges::find(steps, "filter.attach_overlay 42"));
  finish();
}

TEST_F(AgentIsolation, IsolationIsOnDiskBeforeItIsAckedAndEndsOtherSockets) {
  enrolled();
  const auto endpoint = [](std::string_view text) { return Endpoint::parse(text).value(); };
  network.sockets = {
      {.protocol = 6, .local = endpoint("198.51.100.10:22"), .remote = endpoint("203.0.113.5:40000")}};
  filter.cuts = true;
  config.underlay_interfaces = {"eth0"};
  config.interface = "cdn-cordon";
  policy::NodeState isolated = base_state();
  std::get<policy::SettingsValue>(isolated.entries.at(policy::SettingsKey{})).isolated = true;
  std::atomic<bool> acked = false, on_disk = false;
  serve([&](FakeLink& link) {
    if (!welcome(link)) return;
    send_state(link, isolated, 1, 2);
    while (const auto message = link.read()) {
      if (!message->has_ack()) continue;
      const auto saved = load_state(store.directory() / "guard.bin");
      on_disk = saved && *saved && (*saved)->state.settings()->isolated;
      acked = true;
    }
  });
  run_agent();
  EXPECT_EQ(filter.underlay, std::vector<unsigned>{2}) << "as node.toml names";
  ASSERT_TRUE(until([&] { return acked.load(); }));
  EXPECT_TRUE(on_disk);
  EXPECT_TRUE(until([&] {
    return std::ranges::find(steps, "network.destroy 198.51.100.10:22 to 203.0.113.5:40000") != steps.end();
  }));
  EXPECT_EQ(filter.underlay, (std::vector<unsigned>{2, 3})) << "every interface is contained";
  finish();
}

Endpoint endpoint(std::string_view text) {
  return Endpoint::parse(text).value();
}

TEST_F(AgentIsolation, TalksToTheControllersThatOneSignedAndNoOther) {
  enrolled();
  config.controllers = {endpoint("203.0.113.9:7443")};  // of old
  network.sockets = {
      {.protocol = 6, .local = endpoint("198.51.100.10:40001"), .remote = endpoint("203.0.113.1:7443")},
      {.protocol = 6, .local = endpoint("198.51.100.10:40002"), .remote = endpoint("203.0.113.9:7443")}};
  filter.cuts = true;
  policy::NodeState isolated = base_state();
  std::get<policy::SettingsValue>(isolated.entries.at(policy::SettingsKey{})).isolated = true;
  std::promise<std::vector<Endpoint>> promised;
  serve([&, known = promised.get_future().share()](FakeLink& link) {
    if (!welcome(link)) return;
    wire::ToNode told;
    *told.mutable_controllers() = pki.controllers(known.get());
    link.send(told);
    send_state(link, isolated, 1, 2);
    while (link.read()) continue;
  });
  const std::vector<Endpoint> named{controller->endpoint(), endpoint("203.0.113.1:7443")};
  promised.set_value(named);
  run_agent();
  EXPECT_TRUE(until([&] {
    return std::ranges::find(steps, "network.destroy 198.51.100.10:40002 to 203.0.113.9:7443") != steps.end();
  }));
  EXPECT_EQ(std::ranges::find(steps, "network.destroy 198.51.100.10:40001 to 203.0.113.1:7443"), steps.end());
  EXPECT_EQ(filter.controllers, named);
  EXPECT_EQ(Controllers::open(config.controllers, store).allowed(), named) << "at the next boot too";
  finish();
}

TEST_F(AgentIsolation, PeersThatTheGuardIsNotToldOfAreAnAlarm) {
  enrolled();
  policy::NodeState isolated = base_state();
  std::get<policy::SettingsValue>(isolated.entries.at(policy::SettingsKey{})).isolated = true;
  serve([&](FakeLink& link) {
    if (!welcome(link)) return;
    send_state(link, isolated, 1, 2);
    while (link.read()) continue;
  });
  run_agent();
  ASSERT_TRUE(until([&] { return filter.contained(); }));
  filter.ends_broken = true;
  const auto alarmed = [&] {
    return std::ranges::any_of(agent->alarms(), [](const auto& a) { return a.contains("all its peers"); });
  };
  EXPECT_TRUE(until(alarmed));
  filter.ends_broken = false;
  EXPECT_TRUE(until([&] { return !alarmed(); }));
  finish();
}

TEST_F(AgentIsolation, WhereTheSessionIsStaysOpenAndIsAnAlarm) {
  enrolled();
  const std::vector<Endpoint> named{endpoint("203.0.113.1:7443")};
  serve([&](FakeLink& link) {
    if (!welcome(link)) return;
    wire::ToNode told;
    *told.mutable_controllers() = pki.controllers(named);
    link.send(told);
    while (link.read()) continue;
  });
  const Endpoint here = controller->endpoint();
  run_agent();
  EXPECT_TRUE(until([&] { return !filter.controllers.empty(); }));
  EXPECT_EQ(filter.controllers, (std::vector<Endpoint>{named.front(), here}));
  EXPECT_TRUE(std::ranges::any_of(
      agent->alarms(), [&](const auto& a) { return a.contains("reached at " + here.to_string()); }));
  finish();
}

TEST_F(AgentIsolation, AWordThatNoControllerSignedChangesNothing) {
  enrolled();
  test::Pki stranger;
  serve([&](FakeLink& link) {
    if (!welcome(link)) return;
    wire::ToNode told;
    *told.mutable_controllers() = stranger.controllers({endpoint("203.0.113.1:7443")});
    link.send(told);
    while (link.read()) continue;
  });
  run_agent();
  EXPECT_TRUE(until([&] {
    return std::ranges::any_of(agent->alarms(),
                               [](const auto& a) { return a.contains("controllers' addresses"); });
  }));
  EXPECT_EQ(Controllers::open(config.controllers, store).allowed(), config.controllers);
  EXPECT_TRUE(filter.controllers.empty()) << "not told to pass others";
  finish();
}

}  // namespace agent_isolation_test
}  // namespace cordon::node
