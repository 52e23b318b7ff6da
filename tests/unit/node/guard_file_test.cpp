#include "node/agent/guard_file.h"

#include <gtest/gtest.h>

#include <fstream>

#include "node/agent/interfaces.h"
#include "tests/unit/node/agent_fakes.h"
#include "tests/unit/node/agent_states.h"
#include "tests/unit/node/link_temporary.h"

namespace cordon::node {
namespace guard_file_test {

class GuardFileTest : public testing::Test {
 protected:
  std::filesystem::path path() const { return directory.path() / "guard.bin"; }

  test::TemporaryDirectory directory;
  test::Steps steps;
  Result<bool> restore(const GuardFile& from) { return from.restore(filter, network, "cdn-cordon"); }

  test::FakeFilter filter{steps};
  test::FakeNetwork network{steps};
  GuardFile file{directory.path()};
};

TEST_F(GuardFileTest, WithoutAFileNothingIsGuarded) {
  EXPECT_EQ(restore(file), false);
  EXPECT_TRUE(steps.empty());
}

TEST_F(GuardFileTest, WhatGuardsComesBackAndNothingElse) {
  policy::NodeState state = test::base_state();
  std::get<policy::SettingsValue>(state.entries.at(policy::SettingsKey{})).isolated = true;
  state.entries[policy::GuardKey{.protocol = 6, .ports = {443, 443}}] =
      policy::GuardValue{.count_only = true};
  state.entries[policy::LocalSessionKey{SessionId{"s-1"}}] = test::session();
  const std::vector<Endpoint> peers{Endpoint::parse("203.0.113.5:51820").value(),
                                    Endpoint::parse("[2001:db8::5]:51820").value()};
  ASSERT_TRUE(file.keep(Revision{4}, state, peers));
  EXPECT_EQ(restore(GuardFile(directory.path())), true);
  EXPECT_EQ(steps, (test::Steps{"filter.replace",
                                "network.last_routes cdn-cordon 100.64.0.0/10 fd12:3456:789a::/48"}))
      << "no way to the overlay but by its interface";
  EXPECT_EQ(filter.held.entries.size(), 2u);
  EXPECT_TRUE(filter.contained());
  EXPECT_TRUE(filter.held.entries.contains(policy::GuardKey{.protocol = 6, .ports = {443, 443}}));
  EXPECT_EQ(filter.ends, peers);
}

TEST_F(GuardFileTest, WithoutItsRoutesAHostIsGuardedAllTheSame) {
  ASSERT_TRUE(file.keep(Revision{1}, test::base_state(), {}));
  network.last_routes_fail = true;
  EXPECT_EQ(restore(file), true);
  EXPECT_EQ(filter.held.entries.size(), 1u);
}

TEST_F(GuardFileTest, IsWrittenOnlyWhenItChanges) {
  policy::NodeState state = test::base_state();
  ASSERT_TRUE(file.keep(Revision{1}, state, {}));
  std::filesystem::remove(path());
  state.entries[policy::PeerKey{DeviceId{"web"}}] = test::peer(2, {"100.64.0.9"});
  ASSERT_TRUE(file.keep(Revision{2}, state, {}));
  EXPECT_FALSE(std::filesystem::exists(path()));
  ASSERT_TRUE(file.keep(Revision{2}, state, {Endpoint::parse("203.0.113.5:51820").value()}));
  EXPECT_TRUE(std::filesystem::exists(path()));
}

TEST_F(GuardFileTest, WhatIsForgottenIsNotGuarded) {
  ASSERT_TRUE(file.keep(Revision{1}, test::base_state(), {}));
  file.forget();
  EXPECT_EQ(restore(file), false);
  ASSERT_TRUE(file.keep(Revision{1}, test::base_state(), {}));
  EXPECT_TRUE(std::filesystem::exists(path()));
}

TEST_F(GuardFileTest, ADamagedFileIsolates) {
  ASSERT_TRUE(file.keep(Revision{1}, test::base_state(), {}));
  std::filesystem::resize_file(path(), std::filesystem::file_size(path()) - 1);
  EXPECT_EQ(restore(GuardFile(directory.path())), true);
  EXPECT_TRUE(filter.contained());
  EXPECT_EQ(steps.back(), "filter.replace") << "nothing is known of the overlay";
}

TEST_F(GuardFileTest, ContainmentIsForEveryInterface) {
  NodeConfig config;
  config.interface = "cdn-cordon";
  const std::vector<Link> links{{.index = 1, .name = "lo", .loopback = true},
                                {.index = 2, .name = "eth0"},
                                {.index = 3, .name = "eth1"},
                                {.index = 4, .name = "cdn-cordon"}};
  EXPECT_EQ(underlay_of(config, links, false), (std::vector<unsigned>{2, 3}));
  config.underlay_interfaces = {"eth1"};
  EXPECT_EQ(underlay_of(config, links, false), (std::vector<unsigned>{3}));
  EXPECT_EQ(underlay_of(config, links, true), (std::vector<unsigned>{2, 3}));
}

}  // namespace guard_file_test
}  // namespace cordon::node
