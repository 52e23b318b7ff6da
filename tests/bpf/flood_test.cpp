// More sources than there is room for: nothing that was denied is left out of what is told of its reason.

#include <bpf/bpf.h>
#include <sched.h>

#include <atomic>
#include <map>
#include <thread>

#include "tests/bpf/fixture.h"

namespace cordon::test {
namespace flood_test {

using node::FlowEvent;

/// Numbered forged sources, of nobody.
Address forged(unsigned number, const char* from = "fd00:c0de:0:f::") {
  Address source = address(from);
  for (int i = 0; i < 4; ++i)
    source.bytes[15 - static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(number >> 8 * i);
  return source;
}

class FloodTest : public FilterTest {
 protected:
  explicit FloodTest(const std::vector<std::string_view>& programs = kOverlayPrograms)
      : FilterTest(programs) {
    add_principal(kV6.client, 1);
    add_target(kV6.server, 1);
    write();
  }
  static Packet from(const Address& source, std::uint16_t port = 1) {
    return tcp({source, address(kV6.server), 40000, port}, kSyn);
  }
  void take() {
    for (auto seen = events(); !seen.empty(); seen = events())
      for (const FlowEvent& event : seen) {
        told_[event.reason] += event.suppressed + 1;
        (event.source == Address{} ? others_[event.reason] : by_source_[{event.source, event.reason}]) +=
            event.suppressed + 1;
      }
  }
  void tell_all() {
    for (std::uint32_t told = 1; told > 0;) {
      take();
      cordon_sweep done = sweep();
      told = done.denials_told;
      for (; done.untold > 0; done = tell_denials()) take();
    }
    take();
  }
  std::uint64_t counted(const std::string& reason) const {
    return filter_->drop_counters().value().at(reason).packets;
  }

  std::map<std::string, std::uint64_t> told_, others_;
  std::map<std::pair<Address, std::string>, std::uint64_t> by_source_;
};

void pin_to(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  (void)::sched_setaffinity(0, sizeof set, &set);  // with one CPU both are there
}

TEST_F(FloodTest, WhatIsToldOfAReasonIsWhatWasDeniedForIt) {
  constexpr unsigned kEach = 8;
  const char* fewer = std::getenv("CORDON_FLOOD");  // where the CPU is emulated
  const unsigned sources = fewer != nullptr ? 2 * CORDON_LIMIT_ROWS : 10 * CORDON_LIMIT_ROWS;
  std::atomic<int> running = 2;
  std::vector<std::thread> floods;
  for (const unsigned cpu : {0u, 1u})
    floods.emplace_back([&, cpu] {
      pin_to(static_cast<int>(cpu));
      for (unsigned i = cpu; i < sources; i += 2) {
        EXPECT_FALSE(accepts("overlay_in", from(forged(i))));
        // Somebody's that are many, and both CPUs'.
        if (i / 2 % kEach == 0) {
          EXPECT_FALSE(accepts("overlay_in", from(address(kV6.client))));
        }
      }
      --running;
    });
  while (running > 0) {
    take();
    (void)sweep();
  }
  for (std::thread& flood : floods) flood.join();
  tell_all();
  EXPECT_EQ(counted("unknown principal"), sources);
  EXPECT_EQ(counted("no grant"), sources / kEach);
  for (const char* reason : {"unknown principal", "no grant"})
    EXPECT_EQ(told_[reason], counted(reason)) << reason << ", of others " << others_[reason];
  EXPECT_EQ(told_.size(), 2u);
  for (const auto& [whose, count] : by_source_)
    if (whose.second == "unknown principal") {
      EXPECT_EQ(count, 1u) << whose.first.to_string();
    }
  EXPECT_EQ(filter_->events_lost(), 0u);
  fmt::print("{} sources named, {} denials of others\n", by_source_.size(), others_["unknown principal"]);
}

TEST_F(FloodTest, ASweepMakesRoomForOtherSources) {
  for (unsigned i = 0; i < CORDON_LIMIT_ROWS + 1000; ++i) (void)accepts("overlay_in", from(forged(i)));
  EXPECT_FALSE(accepts("overlay_in", from(address(kV6.client))));
  tell_all();
  EXPECT_EQ(others_["unknown principal"], 1000u);
  EXPECT_EQ(others_["no grant"], 1u) << "there was no room for the client";
  EXPECT_FALSE(accepts("overlay_in", from(address(kV6.client))));
  tell_all();
  EXPECT_EQ(by_source_.at({address(kV6.client), "no grant"}), 1u);
  EXPECT_EQ(others_["no grant"], 1u);
  EXPECT_EQ(told_["unknown principal"], counted("unknown principal"));
}

TEST_F(FloodTest, OnesSearchOfAnObservingTargetLeavesOthersTheirs) {
  add_target(kV6.other, 2, true);
  update();
  for (unsigned i = 0; i < CORDON_LIMIT_ROWS + 1000; ++i)
    EXPECT_TRUE(accepts(
        "overlay_in",
        tcp({address(kV6.client), address(kV6.other), 40000, static_cast<std::uint16_t>(i + 1)}, kSyn)));
  EXPECT_FALSE(accepts("overlay_in", from(address(kV6.client))));
  tell_all();
  EXPECT_GT(others_["observed"], 0u);
  EXPECT_EQ(by_source_.at({address(kV6.client), "no grant"}), 1u);
}

TEST_F(FloodTest, APacketOfManySegmentsIsAsManyDenials) {
  const Packet packet = from(address(kV6.client));
  for (int i = 0; i < 20; ++i) {
    __sk_buff context{};
    context.gso_size = 100;
    context.gso_segs = 3;
    EXPECT_FALSE(accepts("overlay_in", packet, context));
  }
  tell_all();
  EXPECT_EQ(counted("no grant"), 60u);
  EXPECT_EQ(told_["no grant"], 60u);
}

class UnderlayFloodTest : public FloodTest {
 protected:
  UnderlayFloodTest() : FloodTest({"overlay_in", "guard_in", "sweep"}) {
    settings().underlay = policy::Underlay::closed;
    write();
  }
};

TEST_F(UnderlayFloodTest, ForgedSourcesAroundTheOverlayLeaveTheOverlaysTheirs) {
  const auto knock = [&](unsigned i) {
    EXPECT_FALSE(
        accepts("guard_in", tcp({forged(i, "2001:db8::"), address("2001:db8:1::1"), 40000, 1}, kSyn)));
  };
  for (unsigned i = 0; i < CORDON_LIMIT_ROWS + 1000; ++i) knock(i);
  for (unsigned i = 0; i < 1100; ++i) knock(i);  // all that may be sent at once
  take();
  EXPECT_FALSE(accepts("overlay_in", from(address(kV6.client))));
  const auto seen = events();
  ASSERT_EQ(seen.size(), 1u) << "told at once: what they used up is the underlay's";
  EXPECT_EQ(seen.front().reason, "no grant");
  tell_all();
  EXPECT_EQ(others_["underlay"], 1000u);
  EXPECT_EQ(told_["underlay"], counted("underlay"));
}

}  // namespace flood_test
}  // namespace cordon::test
