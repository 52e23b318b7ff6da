// Sockets of cut flows end beside the loop: nothing is forgotten, nothing done twice for nothing, and the
// loop goes on.

#include "node/agent/socket_cutter.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/post.hpp>

#include "tests/unit/node/agent_fakes.h"
#include "tests/unit/node/agent_states.h"

namespace cordon::node {
namespace socket_cutter_test {

using test::FakeNetwork;

class CountingNetwork final : public FakeNetwork {
 public:
  using FakeNetwork::FakeNetwork;
  Result<std::vector<HostSocket>> connected_sockets(const std::vector<Prefix>& within) const override {
    ++listings;
    asked = within;
    if (broken) return fail(ErrorCode::io, "no answer");
    return sockets;
  }
  Result<std::size_t> destroy(const std::vector<HostSocket>& which) override {
    ++slices;
    destroyed += which.size();
    return which.size();
  }
  mutable std::atomic<int> listings = 0;
  mutable std::vector<Prefix> asked;
  std::atomic<bool> broken = false;
  std::size_t slices = 0, destroyed = 0;
};

class SocketCutterTest : public testing::Test {
 protected:
  SocketCutterTest() {
    // Nothing is granted to 100.64.0.3 at these ports.
    for (std::uint16_t port = 1; port <= 5000; ++port)
      network.sockets.push_back({.protocol = policy::kTcp,
                                 .local = {test::address("100.64.0.2"), port},
                                 .remote = {test::address("100.64.0.3"), 9}});
  }
  /// All that waits, and what it leads to.
  void run() {
    io.restart();
    io.run();
  }

  boost::asio::io_context io;
  std::vector<std::string> steps;
  CountingNetwork network{steps};
  policy::NodeState state = test::base_state();
  bool time_is_known = true;
  SocketCutter cutter{io, network, [this]() -> std::optional<SocketJudgement> {
                        if (!time_is_known) return std::nullopt;
                        return SocketJudgement{.state = state, .now = kNow, .controllers = {}};
                      }};
  static constexpr Timestamp kNow{std::chrono::sys_days{std::chrono::year{2026} / 11 / 21}};
};

TEST_F(SocketCutterTest, EndsThemInSlicesBetweenWhichTheLoopGoesOn) {
  int turns = 0;
  std::function<void()> other = [&] {
    ++turns;
    if (network.destroyed < 5000) boost::asio::post(io, other);
  };
  cutter.cut();
  EXPECT_EQ(network.slices, 0u) << "not at once";
  boost::asio::post(io, other);
  run();
  EXPECT_EQ(network.destroyed, 5000u);
  EXPECT_GE(network.slices, 10u);
  EXPECT_GE(turns, 10) << "its turn came between the slices";
  EXPECT_EQ(network.listings, 1);
}

TEST_F(SocketCutterTest, TheKernelIsAskedForTheOverlaysUnlessTheHostIsIsolated) {
  auto& settings = std::get<policy::SettingsValue>(state.entries.at(policy::SettingsKey{}));
  cutter.cut();
  run();
  EXPECT_EQ(network.asked, (std::vector<Prefix>{settings.overlay_v4, settings.overlay_v6}));
  settings.isolated = true;
  cutter.cut();
  run();
  EXPECT_TRUE(network.asked.empty());
}

TEST_F(SocketCutterTest, WhatIsCutMeanwhileIsLookedAtOnceMore) {
  for (int i = 0; i < 100; ++i) cutter.cut();
  run();
  EXPECT_EQ(network.listings, 2) << "the first may have listed before the last cut";
  cutter.tick();
  run();
  EXPECT_EQ(network.listings, 2);
}

TEST_F(SocketCutterTest, WaitsForTheTimeAndForTheKernel) {
  time_is_known = false;
  cutter.cut();
  cutter.tick();
  run();
  EXPECT_EQ(network.listings, 0);
  time_is_known = true;
  network.broken = true;
  cutter.tick();
  run();
  EXPECT_EQ(network.listings, 1);
  EXPECT_EQ(network.destroyed, 0u);
  network.broken = false;
  cutter.tick();
  run();
  EXPECT_EQ(network.destroyed, 5000u) << "it was not forgotten";
}

}  // namespace socket_cutter_test
}  // namespace cordon::node
