// Sockets of cut flows end beside the loop: nothing is forgotten, nothing done twice for nothing, and the
// loop goes on.

#include "node/agent/socket_cutter.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/post.hpp>

#include "base/files.h"
#include "tests/unit/node/agent_fakes.h"
#include "tests/unit/node/agent_states.h"
#include "tests/unit/node/link_temporary.h"

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
  /// The setting; writing it truncates nothing, as it is no such file.
  int seconds() const { return std::stoi(read_file(setting).value()); }

  boost::asio::io_context io;
  std::vector<std::string> steps;
  CountingNetwork network{steps};
  policy::NodeState state = test::base_state();
  bool time_is_known = true;
  test::TemporaryDirectory directory;
  const std::filesystem::path setting = directory.path() / "close_timeout",
                              memory = directory.path() / "memory";
  SocketCutter cutter{io,
                      network,
                      [this]() -> std::optional<SocketJudgement> {
                        if (!time_is_known) return std::nullopt;
                        return SocketJudgement{.state = state, .now = kNow, .controllers = {}};
                      },
                      {setting, memory}};
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

TEST_F(SocketCutterTest, WhileAnMptcpSocketIsCutTheKernelWaitsForNoOtherSubflow) {
  ASSERT_TRUE(write_file(setting, "60\n"));
  cutter.cut();
  run();
  EXPECT_EQ(network.destroyed, 5000u);
  EXPECT_EQ(seconds(), 60) << "none of them was one";
  network.sockets[4711].multipath = true;
  for (int again = 0; again < 2; ++again) {
    cutter.cut();
    run();
    EXPECT_EQ(seconds(), 0);
    EXPECT_EQ(read_file(memory), "60\n");
    cutter.tick();  // which may come at once
  }
  EXPECT_EQ(seconds(), 0) << "from the last one on";
  cutter.tick();
  EXPECT_EQ(seconds(), 60);
  EXPECT_FALSE(std::filesystem::exists(memory));
}

TEST_F(SocketCutterTest, WhatAKilledDaemonLoweredIsPutBackAndZeroIsLeftAlone) {
  ASSERT_TRUE(write_file(setting, "0\n"));
  ASSERT_TRUE(write_file(memory, "61\n"));
  CloseTimeout next(setting, memory);
  EXPECT_EQ(read_file(setting), "61\n");
  EXPECT_FALSE(std::filesystem::exists(memory));
  ASSERT_TRUE(write_file(setting, "0\n"));
  next.lower();
  EXPECT_FALSE(std::filesystem::exists(memory)) << "somebody wants it so, or another daemon does";
  next.restore();
  EXPECT_EQ(read_file(setting), "0\n");
  std::filesystem::remove(setting);
  next.lower();
  EXPECT_FALSE(std::filesystem::exists(setting)) << "a kernel without it";
}

TEST_F(SocketCutterTest, WhatCantBePutBackIsKeptUntilItIs) {
  ASSERT_TRUE(write_file(memory, "61\n"));
  {
    CloseTimeout next(setting, memory);  // there is no such file
    next.restore();
    EXPECT_EQ(read_file(memory), "61\n");
    ASSERT_TRUE(write_file(setting, "0\n"));
  }
  EXPECT_EQ(read_file(setting), "61\n");
  EXPECT_FALSE(std::filesystem::exists(memory));
}

}  // namespace socket_cutter_test
}  // namespace cordon::node
