// I10 in the kernel: while a state is written, packets meet wholly the state before or wholly the one after.
// Beside it tests/property/node/turn_test.cpp, which asks far more of plain maps.

#include <bpf/bpf.h>

#include <atomic>
#include <optional>
#include <thread>

#include "node/filter/sides.h"
#include "node/filter/writes.h"
#include "policy/compile.h"
#include "tests/bpf/fixture.h"
#include "tests/support/world_gen.h"

namespace cordon::test {
namespace turn_test {

using node::Rows;
using node::Table;
using node::Write;
using policy::Direction;
using policy::NodeState;

constexpr int kPairs = 60, kPacketsPerWrite = 5;

class TurnTest : public FilterTest {
 protected:
  TurnTest() : FilterTest(kOverlayPrograms) {}

  node::KernelMap map(Table table) const {
    const char* name = node::map_name(table);
    const bool trie = table != Table::grants && table != Table::principals;
    return {.fd = filter_->objects().map(name), .name = name, .is_trie = trie};
  }
  std::uint64_t generation() const { return filter_->settings().flags >> CORDON_SETTINGS_FLAG_BITS; }
  /// As the daemon does, row by row; `look` is told after each whether it turned. Stops after `most` rows.
  template <class Look>
  void write_rows(const NodeState& next, const Look& look, std::size_t most = SIZE_MAX) {
    auto settings = node::SettingsMap::map(filter_->objects().map("settings")).value();
    const auto plan = node::make_plan(node::make_image(state_, base_, {}), node::make_image(next, base_, {}));
    bool turned = false;
    (void)node::for_writes(plan, generation() + 1, [&](const Write& write) -> Result<> {
      if (write.kind == Write::Kind::turn) {
        const auto host = node::make_host(next, 0, 0);
        settings.turn(host.flags | CORDON_SETTINGS_EPOCH_DUE, host.node_lease_ns);
        turned = true;
        look(turned);
        return {};
      }
      for (std::size_t i = 0; i < write.rows->size(); ++i) {
        if (most-- == 0) return fail(ErrorCode::internal, "killed");
        Rows row = write.rows->shape();
        row.add_raw(write.rows->key(i), write.rows->value(i));
        const bool removes = write.kind == Write::Kind::remove;
        EXPECT_TRUE(removes ? map(write.table).remove(row) : map(write.table).write(row));
        look(turned);
      }
      return {};
    });
  }
  /// Writes the state as a whole.
  void begin(NodeState state) {
    state_ = std::move(state);
    base_ = base();
    ASSERT_TRUE(filter_->replace(state_, base_));
    ASSERT_TRUE(filter_->confirm(base_.sent_boot_ns));
  }
  void restart() {
    filter_.reset();
    auto again = node::KernelFilter::open(config_at(pins_), {.only = kOverlayPrograms});
    ASSERT_TRUE(again) << again.error().message();
    filter_ = std::move(*again);
  }

  TimeBase base_;
};

/// Two states of one node with something between them, and what may be asked of both.
struct Pair {
  NodeState first, second;
  std::vector<Address> sources, targets;
  std::vector<policy::GrantKey> grants;
};

Pair some_pair(WorldGen& gen) {
  WorldBuilder builder = gen.world();
  const DeviceId self{fmt::format("d{}", gen.number(5))};
  Pair out;
  for (NodeState* state : {&out.first, &out.second}) {
    *state = policy::compile_node(builder.world(), self, kNow);
    for (auto& [key, value] : state->entries) {
      if (auto* principal = std::get_if<policy::PrincipalValue>(&value)) {
        principal->check_owner = false;  // whose socket it is, look_up isn't asked
        out.sources.push_back(std::get<policy::PrincipalKey>(key).address);
      } else if (const auto* target = std::get_if<policy::TargetKey>(&key)) {
        out.targets.push_back(target->prefix.address);
      } else if (const auto* grant = std::get_if<policy::GrantKey>(&key)) {
        out.grants.push_back(*grant);
      }
    }
    for (int i = 0; i < 3; ++i) {
      auto& device = builder.world().devices.at(DeviceId{fmt::format("d{}", gen.number(5))});
      const std::string tag = fmt::format("t{}", gen.number(4));
      if (gen.number(5) == 0)
        device.isolated = !device.isolated;
      else if (device.tags.erase(tag) == 0)
        device.tags.insert(tag);
    }
    builder.world().sessions.close(SessionId{fmt::format("s-{}", gen.number(5))});
    settle(builder.world());
  }
  return out;
}

struct Question {
  policy::GrantKey grant;  ///< of either state; its direction, protocol and port are what is asked
  Flow flow;
};

std::optional<Question> some_question(WorldGen& gen, const Pair& states) {
  const auto one_of = [&](const auto& all) {
    return all[gen.number(static_cast<std::uint32_t>(all.size()))];
  };
  Question out{.grant = one_of(states.grants), .flow = {}};
  out.flow = {one_of(states.sources), one_of(states.targets), 40000, out.grant.port};
  if (out.grant.protocol != policy::kUdp) out.grant.protocol = policy::kTcp;
  if (out.flow.source.is_v4() != out.flow.destination.is_v4()) return std::nullopt;
  return out;
}

TEST_F(TurnTest, PacketsBetweenTheWritesMeetOneStateOrTheOther) {
  unsigned accepted = 0, dropped = 0, differ = 0;
  for (int pair = 0; pair < kPairs && !HasFailure(); ++pair) {
    WorldGen gen(seeded(0x7e57 + static_cast<std::uint64_t>(pair)));
    const Pair states = some_pair(gen);
    if (states.grants.empty() || states.sources.empty() || states.targets.empty()) continue;
    const auto ask = [&](const NodeState& state, const Question& q) {
      return policy::look_up(state, q.grant.direction, q.flow.source, q.flow.destination, q.grant.protocol,
                             q.flow.destination_port, kNow);
    };
    const auto look = [&](bool turned) {
      for (int i = 0; i < kPacketsPerWrite; ++i) {
        const auto q = some_question(gen, states);
        if (!q) continue;
        const auto verdict = ask(turned ? states.second : states.first, *q),
                   other = ask(turned ? states.first : states.second, *q);
        const bool passed = accepts(q->grant.direction == Direction::ingress ? "overlay_in" : "overlay_out",
                                    q->grant.protocol == policy::kTcp ? tcp(q->flow, kSyn) : udp(q->flow));
        if (passed) forget_flows();
        ++(passed ? accepted : dropped);
        if (verdict.passes != other.passes) ++differ;
        EXPECT_EQ(passed, verdict.passes)
            << "pair " << pair << (turned ? " after" : " before")
            << " the turn: " << q->flow.source.to_string() << " > " << q->flow.destination.to_string()
            << " protocol " << int{q->grant.protocol} << " port " << q->flow.destination_port;
      }
    };
    begin(states.first);
    write_rows(states.second, look);
  }
  fmt::print("{} accepted, {} dropped; {} would be otherwise in the other state\n", accepted, dropped,
             differ);
  EXPECT_GT(accepted, 500u);
  EXPECT_GT(differ, 200u);
}

/// One principal and one device: class and target change together, and any mixture shows: what both states
/// allow is denied to it, and what neither does is granted.
NodeState one_of_two(const policy::SettingsValue& settings, std::uint32_t which) {
  NodeState state;
  state.entries[policy::SettingsKey{}] = settings;
  state.entries[policy::PrincipalKey{address(kV4.client)}] =
      policy::PrincipalValue{.class_id = ClassId(which)};
  state.entries[policy::TargetKey{Prefix::host(address(kV4.server))}] =
      policy::TargetValue{.id = TargetId(which)};
  for (const auto& [target, port] : {std::pair{which, 443}, std::pair{3 - which, 80}})
    state.entries[policy::GrantKey{.class_id = ClassId(which),
                                   .target = TargetId(target),
                                   .protocol = policy::kUdp,
                                   .port = static_cast<std::uint16_t>(port)}] =
        policy::GrantValue{.rule = RuleId(which), .lease_s = 900};
  for (const std::uint32_t rule : {1u, 2u})
    state.entries[policy::RuleKey{RuleId(rule)}] = policy::RuleValue{.name = "rule"};
  return state;
}

TEST_F(TurnTest, PacketsWhileItIsWrittenMeetOneStateOrTheOther) {
  constexpr int kTurns = 1500, kRepeat = 500;
  const std::array states{one_of_two(settings(), 1), one_of_two(settings(), 2)};
  begin(states[0]);
  const auto packet = [](std::uint16_t port, std::uint16_t from = 40000) {
    return udp({address(kV4.client), address(kV4.server), from, port});
  };
  // Past its budget a principal's every packet is decided anew.
  for (std::uint16_t from = 1; from <= CORDON_FLOWS_PER_PRINCIPAL; ++from)
    ASSERT_TRUE(accepts("overlay_in", packet(443, from)));
  const auto counts = [&] {
    std::uint64_t accepted = 0;
    const auto rules = filter_->rule_counters().value();
    for (const auto& [rule, counter] : rules) accepted += counter.packets;
    return std::pair{accepted, filter_->drop_counters().value().at("no grant").packets};
  };
  const auto [accepted, dropped] = counts();
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (std::size_t i = 0; i < kTurns; ++i) {
      const NodeState &from = states[i % 2], &to = states[(i + 1) % 2];
      const auto updated = filter_->update(from, policy::difference(from, to), base_, false);
      EXPECT_TRUE(updated && updated->verified);
    }
    done = true;
  });
  std::uint64_t packets = 0;
  const Packet both = packet(443), neither = packet(80);
  for (; !done; packets += kRepeat)
    for (const Packet* each : {&both, &neither}) {
      LIBBPF_OPTS(bpf_test_run_opts, options);
      options.data_in = each->data();
      options.data_size_in = static_cast<__u32>(each->size());
      options.repeat = kRepeat;
      EXPECT_EQ(bpf_prog_test_run_opts(filter_->objects().program("overlay_in"), &options), 0);
    }
  writer.join();
  fmt::print("{} packets of each kind in {} turns\n", packets, kTurns);
  EXPECT_GT(packets, 0u);
  const auto [accepted_after, dropped_after] = counts();
  EXPECT_EQ(accepted_after - accepted, packets) << "that both states allow";
  EXPECT_EQ(dropped_after - dropped, packets) << "that neither allows";
}

TEST_F(TurnTest, KilledAtAnyRowTheNextDaemonGoesOn) {
  const NodeState first = one_of_two(settings(), 1), second = one_of_two(settings(), 2);
  const Packet packet = udp({address(kV4.client), address(kV4.server), 40000, 443});
  for (std::size_t rows = 0; rows <= 6; ++rows) {
    begin(first);
    const auto epoch = filter_->settings().epoch;
    bool has_turned = false;
    write_rows(second, [&](bool turned) { has_turned = turned; }, rows);
    restart();
    EXPECT_TRUE(accepts("overlay_in", packet)) << rows;
    const auto report = filter_->replace(has_turned ? second : first, base_);
    ASSERT_TRUE(report);
    EXPECT_TRUE(report->verified);
    // Flows of the state before are still to be asked again.
    EXPECT_EQ(report->epoch_raised, has_turned || report->removed > 0) << rows;
    EXPECT_EQ(filter_->settings().epoch - epoch, report->epoch_raised ? 1u : 0u);
    EXPECT_TRUE(accepts("overlay_in", packet)) << rows;
    for (const Table table : {Table::targets, Table::principals}) {
      const auto held =
          node::settle(table, map(table).read(node::empty_image()[table]).value(), generation());
      EXPECT_TRUE(held.unmade.empty() && held.absent.empty()) << rows;
    }
    forget_flows();
  }
}

}  // namespace turn_test
}  // namespace cordon::test
