// Races with another CPU, one for each step of the program: whatever comes between two looks into the maps,
// the packet meets one state, and what a state took away is gone.

#include <bpf/bpf.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <functional>
#include <utility>

#include "node/filter/image.h"
#include "node/filter/writes.h"
#include "tests/bpf/fixture.h"
#include "tests/bpf/other_cpu.h"

namespace cordon::test {
namespace interleave_test {

using node::Rows;
using node::Table;
using node::Write;
using policy::NodeState;

constexpr unsigned kMostSteps = 400;

interleave_table table_of(Table table) {
  switch (table) {
    case Table::grants:
      return INTERLEAVE_GRANTS;
    case Table::ranges:
      return INTERLEAVE_GRANT_RANGES;
    case Table::targets:
      return INTERLEAVE_TARGETS;
    default:
      return INTERLEAVE_PRINCIPALS;
  }
}

/// Before Linux 6.6 the verifier gives up on so many steps, after half a minute.
bool knows_steps() {
  utsname name{};
  unsigned major = 0, minor = 0;
  return ::uname(&name) == 0 && std::sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
         std::pair(major, minor) >= std::pair(6U, 6U);
}

class InterleaveTest : public FilterTest {
 protected:
  InterleaveTest() : FilterTest(kOverlayPrograms) {
    if (!knows_steps()) return;
    EXPECT_TRUE(filter_->remove_all());
    filter_.reset();
    auto filter = node::KernelFilter::open(
        config_at(pins_), {.programs = interleaved_programs(), .only = {"overlay_in", "sweep"}});
    if (!filter) throw std::runtime_error(filter.error().message());
    filter_ = std::move(*filter);
    other_.emplace(filter_->objects());
  }

  void SetUp() override {
    if (!knows_steps()) GTEST_SKIP() << "this kernel's verifier walks no program of so many steps";
    FilterTest::SetUp();
  }

  static Packet packet(std::uint16_t port, std::uint16_t from = 40000) {
    return udp({address(kV4.client), address(kV4.server), from, port});
  }
  /// One client, one server, and a class and a target of this state's own; by them udp/443 is granted or not.
  /// Another port is granted in the mixtures of two such states alone.
  NodeState state_with(std::uint32_t own, bool granted = true) {
    NodeState state;
    state.entries[policy::SettingsKey{}] = settings();
    state.entries[policy::PrincipalKey{address(kV4.client)}] =
        policy::PrincipalValue{.class_id = ClassId(own)};
    state.entries[policy::TargetKey{Prefix::host(address(kV4.server))}] =
        policy::TargetValue{.id = TargetId(own)};
    for (const auto& [target, port] : {std::pair{own, 443}, std::pair{3 - own, 80}})
      if (granted || port == 80)
        state.entries[policy::GrantKey{.class_id = ClassId(own),
                                       .target = TargetId(target),
                                       .protocol = policy::kUdp,
                                       .port = static_cast<std::uint16_t>(port)}] =
            policy::GrantValue{.rule = RuleId(own), .lease_s = 900};
    return state;
  }
  void begin(const NodeState& state) {
    base_ = base();
    ASSERT_TRUE(filter_->replace(state, base_));
    ASSERT_TRUE(filter_->confirm(base_.sent_boot_ns));
    forget_flows();
  }
  cordon_settings held_settings() const { return filter_->settings(); }
  void hold(const cordon_settings& settings) {
    const std::uint32_t zero = 0;
    bpf_map_update_elem(filter_->objects().map("settings"), &zero, &settings, BPF_ANY);
  }
  void other_holds(const cordon_settings& settings) {
    const std::uint32_t zero = 0;
    other_->does(INTERLEAVE_SETTINGS, INTERLEAVE_IN_PLACE, &zero, sizeof zero, &settings, sizeof settings);
  }
  /// As the daemon turns to the next state: what comes before the turn is done, the turn and what follows it
  /// is the other CPU's.
  void other_turns(const NodeState& from, const NodeState& to) {
    other_->forget();
    const auto plan = node::make_plan(node::make_image(from, base_, {}), node::make_image(to, base_, {}));
    cordon_settings settings = held_settings();
    const std::uint64_t generation = (settings.flags >> CORDON_SETTINGS_FLAG_BITS) + 1;
    bool turned = false;
    ASSERT_TRUE(node::for_writes(plan, generation, [&](const Write& write) -> Result<> {
      if (write.kind == Write::Kind::turn) {
        settings.flags = generation << CORDON_SETTINGS_FLAG_BITS | node::make_host(to, 0, 0).flags;
        other_holds(settings);
        turned = true;
        return {};
      }
      for (std::size_t i = 0; i < write.rows->size(); ++i) {
        if (turned)
          other_->does(table_of(write.table),
                       write.kind == Write::Kind::remove ? INTERLEAVE_REMOVE : INTERLEAVE_UPDATE,
                       write.rows->key(i), write.rows->key_size, write.rows->value(i),
                       write.rows->value_size);
        else
          EXPECT_EQ(bpf_map_update_elem(filter_->objects().map(node::map_name(write.table)),
                                        write.rows->key(i), write.rows->value(i), BPF_ANY),
                    0);
      }
      return {};
    }));
    ++settings.epoch;
    other_holds(settings);
  }
  /// `run` with the other CPU after each number of steps that a run has, then `check`; how many those were.
  unsigned at_each_step(
      const std::function<void()>& prepare, const std::function<void(unsigned)>& run,
      const std::function<void(unsigned)>& check = [](unsigned) {}) {
    for (unsigned step = 0; step < kMostSteps; ++step) {
      prepare();
      if (HasFatalFailure()) return 0;
      other_->comes_after(step);
      run(step);
      if (!other_->came()) return step;
      check(step);
    }
    ADD_FAILURE() << "there is no end of steps";
    return kMostSteps;
  }
  /// The first state holds, with a flow of it that is to be asked again, or without; the next is about to
  /// come.
  void prepare_turn(const NodeState& first, const NodeState& next, bool known) {
    begin(first);
    if (known) {
      ASSERT_TRUE(accepts("overlay_in", packet(443)));
      ASSERT_TRUE(filter_->update(first, {}, base_, true));
    }
    other_turns(first, next);
  }

  TimeBase base_;
  std::optional<OtherCpu> other_;
};

TEST_F(InterleaveTest, APacketMeetsOneStateWheneverItTurns) {
  const NodeState first = state_with(1), second = state_with(2);
  for (const bool known : {false, true}) {
    const auto prepare = [&] { prepare_turn(first, second, known); };
    const unsigned steps = at_each_step(prepare, [&](unsigned step) {
      EXPECT_TRUE(accepts("overlay_in", packet(443))) << "both allow it; turned after step " << step;
    });
    EXPECT_GT(steps, 8u);
    at_each_step(prepare, [&](unsigned step) {
      EXPECT_FALSE(accepts("overlay_in", packet(80))) << "neither allows it; turned after step " << step;
    });
  }
}

TEST_F(InterleaveTest, WhatTheStateTookAwayIsGoneWheneverItTurned) {
  const NodeState first = state_with(1), second = state_with(2, false), third = state_with(1, false);
  for (const NodeState* next : {&second, &third})
    for (const bool known : {false, true})
      at_each_step([&] { prepare_turn(first, *next, known); },
                   [&](unsigned) { (void)accepts("overlay_in", packet(443)); },
                   [&](unsigned step) {
                     EXPECT_FALSE(accepts("overlay_in", packet(443))) << "turned after step " << step;
                   });
}

/// One CPU renews a flow by the state before, another by the new one, which ends it sooner: what the two
/// leave is not the one's epoch with the other's deadline.
TEST_F(InterleaveTest, AFlowRenewedByTwoStatesEndsWithTheNewOne) {
  using Seconds = std::chrono::seconds;
  const NodeState first = state_with(1);
  NodeState second = first;
  auto& value =
      std::get<policy::PrincipalValue>(second.entries.at(policy::PrincipalKey{address(kV4.client)}));
  const int flows_fd = filter_->objects().map("flows");
  using Bytes = std::array<std::uint8_t, sizeof(cordon_flow)>;
  const auto row_of = [&](std::uint16_t from, cordon_flow_key& key) {
    Bytes row{};
    for (int error = bpf_map_get_next_key(flows_fd, nullptr, &key); error == 0;) {
      cordon_flow_key next{};
      if (key.low_port == from || key.high_port == from) {
        EXPECT_EQ(bpf_map_lookup_elem(flows_fd, &key, row.data()), 0);
        return row;
      }
      error = bpf_map_get_next_key(flows_fd, &key, &next);
      key = next;
    }
    ADD_FAILURE() << "no flow from " << from;
    return row;
  };
  // On a machine that stands still for a while the deadline passes before all is done: then with a later one.
  for (Seconds life{1};; life *= 4) {
    ASSERT_LT(life, Seconds(60));
    value.deadlines.fill(kNow + life);
    begin(first);
    const std::uint64_t end =
        base_.sent_boot_ns + static_cast<std::uint64_t>(std::chrono::nanoseconds(life).count());
    const cordon_settings old = held_settings();
    ASSERT_TRUE(filter_->update(first, policy::difference(first, second), base_, true));
    const cordon_settings now = held_settings();
    ASSERT_GT(now.epoch, old.epoch);
    std::uint16_t from = 1000;
    cordon_flow_key key{};
    cordon_settings before = old;
    const auto prepare = [&] {
      ++from;
      other_->forget();
      // Begun two epochs ago, renewed by the new state: that is what the other CPU will leave.
      before.epoch = old.epoch - 1;
      hold(before);
      EXPECT_TRUE(accepts("overlay_in", packet(443, from)));
      const Bytes begun = row_of(from, key);
      hold(now);
      EXPECT_TRUE(accepts("overlay_in", packet(443, from)) || system_clock().boot_ns() > end);
      const Bytes renewed = row_of(from, key);
      EXPECT_NE(begun, renewed);
      hold(old);
      bpf_map_update_elem(flows_fd, &key, begun.data(), BPF_EXIST);
      other_holds(now);
      other_->does(INTERLEAVE_FLOWS, INTERLEAVE_IN_PLACE, &key, sizeof key, renewed.data(), renewed.size());
    };
    const unsigned steps =
        at_each_step(prepare, [&](unsigned) { (void)accepts("overlay_in", packet(443, from)); });
    EXPECT_GT(steps, 8u);
    if (system_clock().boot_ns() > end) continue;
    hold(now);
    while (system_clock().boot_ns() <= end) ::usleep(20'000);
    for (std::uint16_t each = 1001; each <= from; ++each)
      EXPECT_FALSE(accepts("overlay_in", packet(443, each))) << "after step " << each - 1001;
    return;
  }
}

/// Where denials are counted: the sum told is what happened, whatever the other CPU counts meanwhile.
class InterleaveLimitTest : public InterleaveTest {
 protected:
  static constexpr std::uint64_t kOthers = 5;

  static cordon_limit_key limit_key() {
    cordon_limit_key key{};
    key.source = node::to_abi(address(kV4.client));
    key.reason = CORDON_REASON_no_grant;
    return key;
  }
  static cordon_limit limit(std::uint64_t suppressed) {
    cordon_limit out{};
    out.suppressed = suppressed;
    out.sent = CORDON_LIMIT_ROWS;  // enough for now
    out.window_start_ns = system_clock().boot_ns();
    out.kind = CORDON_EVENT_DENIED;
    return out;
  }
  void prepare_count() {
    begin(state_with(1));
    forget("overlay_limits");
    (void)events();
    other_->forget();
    const auto key = limit_key();
    const auto row = limit(kOthers);
    other_->does(INTERLEAVE_OVERLAY_LIMITS, INTERLEAVE_COUNT, &key, sizeof key, &row, sizeof row);
  }
  std::uint64_t told() {
    std::uint64_t all = 0;
    for (int sweeps = 0; sweeps < 2; ++sweeps) {
      for (const node::FlowEvent& event : events()) all += event.suppressed + 1;
      (void)sweep();
    }
    for (const node::FlowEvent& event : events()) all += event.suppressed + 1;
    return all;
  }
};

TEST_F(InterleaveLimitTest, ASourcesFirstDenialIsCountedByTwoCpus) {
  const unsigned steps = at_each_step([&] { prepare_count(); },
                                      [&](unsigned) { EXPECT_FALSE(accepts("overlay_in", packet(80))); },
                                      [&](unsigned step) { EXPECT_EQ(told(), 1 + kOthers) << step; });
  EXPECT_GT(steps, 8u);
}

TEST_F(InterleaveLimitTest, ASweepTakesNoRowThatIsCountedIn) {
  constexpr std::uint64_t kDenied = 20, kLeft = 3;
  const auto prepare = [&] {
    prepare_count();
    for (std::uint64_t i = 0; i < kDenied; ++i) EXPECT_FALSE(accepts("overlay_in", packet(80)));
    // A row of the round before that the ring had no room for.
    const std::uint32_t zero = 0;
    cordon_round now{};
    bpf_map_lookup_elem(filter_->objects().map("limit_round"), &zero, &now);
    cordon_limit_key key = limit_key();
    key.round = static_cast<std::uint8_t>(1 - now.round);
    const auto row = limit(kLeft);
    EXPECT_EQ(bpf_map_update_elem(filter_->objects().map("overlay_limits"), &key, &row, BPF_ANY), 0);
  };
  // Rows come first; then nothing of this one's is looked at any more.
  for (unsigned step = 0; step < 24; ++step) {
    prepare();
    other_->comes_after(step);
    EXPECT_GT(tell_denials().denials_told, 0u);
    ASSERT_TRUE(other_->came());
    EXPECT_EQ(told(), kDenied + kLeft + kOthers) << step;
  }
}

}  // namespace interleave_test
}  // namespace cordon::test
