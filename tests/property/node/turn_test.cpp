// I10: while a state is written, after every single row, what the maps say is wholly the state before or
// wholly the one after. The maps here are plain ones, read as ebpf/decide.bpf.h reads the kernel's; what they
// should say is policy::look_up's word.

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <optional>
#include <set>

#include "node/filter/sides.h"
#include "node/filter/writes.h"
#include "policy/compile.h"
#include "tests/property/policy/draw.h"

namespace cordon::test {
namespace turn_test {

using node::Image;
using node::Rows;
using node::Table;
using node::Write;
using policy::Direction;
using policy::NodeState;

const TimeBase kTurnBase{.sent_boot_ns = 1'000'000'000'000, .controller_time = kNow};

struct Question {
  Direction direction = Direction::ingress;
  Address source, destination;
  std::uint8_t protocol = 0;
  std::uint16_t port = 0;
};
struct Answer {
  bool accept = false, observed = false;
  std::uint32_t rule = 0;
  bool operator==(const Answer&) const = default;
};

Answer by_policy(const NodeState& state, const Question& q) {
  const auto verdict = policy::look_up(state, q.direction, q.source, q.destination, q.protocol, q.port, kNow);
  return {.accept = verdict.accept, .observed = verdict.observed, .rule = verdict.rule.value};
}

using Bytes = std::vector<std::uint8_t>;

/// The maps of a kernel, and its settings.
class Maps {
 public:
  std::uint64_t generation = 0;
  std::uint32_t flags = 0;

  void put(Table table, const Rows& rows, std::size_t i) {
    at(table)[key(rows, i)] = {rows.value(i), rows.value(i) + rows.value_size};
  }
  void remove(Table table, const Rows& rows, std::size_t i) { at(table).erase(key(rows, i)); }
  void put_all(Table table, const Rows& rows) {
    for (std::size_t i = 0; i < rows.size(); ++i) put(table, rows, i);
  }
  Rows rows(Table table) const {
    Rows out = node::empty_image()[table];
    for (const auto& [key, value] : maps_[static_cast<std::size_t>(table)])
      out.add_raw(key.data(), value.data());
    return out;
  }

  Answer answer(const Question& q) const;

 private:
  using Map = std::map<Bytes, Bytes>;
  static Bytes key(const Rows& rows, std::size_t i) { return {rows.key(i), rows.key(i) + rows.key_size}; }
  Map& at(Table table) { return maps_[static_cast<std::size_t>(table)]; }
  template <class V, class K>
  std::optional<V> find(Table table, const K& key) const {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(&key);
    const Map& map = maps_[static_cast<std::size_t>(table)];
    const auto it = map.find(Bytes(bytes, bytes + sizeof key));
    if (it == map.end()) return std::nullopt;
    V out;
    std::memcpy(&out, it->second.data(), sizeof out);
    return out;
  }
  template <class Row>
  auto side(const Row& row) const {
    return row.changed_in <= generation ? row.now : row.before;
  }
  /// What the kernel's trie does, and the program where a side is absent.
  std::optional<cordon_target_side> target(const Address& address) const;
  std::vector<cordon_grant> grants(const Question& q, std::uint64_t class_id, std::uint32_t target) const;

  std::array<Map, node::kTables> maps_;
};

bool is_in(const Address& address, const cordon_target_key& prefix) {
  for (std::uint32_t bit = 0; bit < prefix.prefix_bits; ++bit)
    if (((address.bytes[bit / 8] ^ prefix.address[bit / 8]) & (0x80 >> bit % 8)) != 0) return false;
  return true;
}

std::optional<cordon_target_side> Maps::target(const Address& address) const {
  for (std::int64_t most = 128; most >= 0;) {
    std::optional<cordon_target> longest;
    std::int64_t bits = -1;
    for (const auto& [key_bytes, value] : maps_[static_cast<std::size_t>(Table::targets)]) {
      cordon_target_key key;
      std::memcpy(&key, key_bytes.data(), sizeof key);
      if (key.prefix_bits > most || key.prefix_bits <= bits || !is_in(address, key)) continue;
      bits = key.prefix_bits;
      std::memcpy(&longest.emplace(), value.data(), sizeof(cordon_target));
    }
    if (!longest) return std::nullopt;
    const cordon_target_side held = side(*longest);
    if ((held.flags & CORDON_TARGET_ABSENT) == 0) return held;
    RC_ASSERT(longest->prefix_bits == bits);
    most = bits - 1;
  }
  return std::nullopt;
}

std::vector<cordon_grant> Maps::grants(const Question& q, std::uint64_t class_id,
                                       std::uint32_t target) const {
  std::vector<cordon_grant> out;
  const auto add = [&](const std::optional<cordon_grant>& grant) {
    if (grant) out.push_back(*grant);
    return grant.has_value();
  };
  const auto direction = static_cast<int>(q.direction);
  const auto plain = [&](std::uint16_t port, std::uint8_t protocol, int form) {
    cordon_grant_key key{};
    key.class_id = class_id;
    key.target = target;
    key.port = port;
    key.protocol = protocol;
    key.form_direction = static_cast<std::uint8_t>(form | direction);
    add(find<cordon_grant>(Table::grants, key));
  };
  plain(q.port, q.protocol, CORDON_FORM_EXACT);
  for (unsigned bits = 15; bits >= 1; --bits) {
    const auto port = static_cast<std::uint16_t>(q.port & (0xffffu << (16 - bits)));
    cordon_range_key key{};
    key.prefix_bits = CORDON_RANGE_FIXED_BITS + bits;
    std::memcpy(key.class_id, &class_id, sizeof key.class_id);
    std::memcpy(key.target, &target, sizeof key.target);
    key.direction = static_cast<std::uint8_t>(direction);
    key.protocol = q.protocol;
    key.port[0] = static_cast<std::uint8_t>(port >> 8);
    key.port[1] = static_cast<std::uint8_t>(port);
    if (add(find<cordon_grant>(Table::ranges, key))) break;
  }
  plain(0, q.protocol, CORDON_FORM_ANY_PORT);
  plain(0, 0, CORDON_FORM_ANY_PROTOCOL);
  return out;
}

Answer Maps::answer(const Question& q) const {
  Answer out;
  const auto row = find<cordon_principal>(Table::principals, node::to_abi(q.source));
  if (!row) return out;
  const cordon_principal_side principal = side(*row);
  if ((principal.flags & (CORDON_PRINCIPAL_ABSENT | CORDON_PRINCIPAL_ISOLATED)) != 0) return out;
  const auto aimed = target(q.destination);
  if (!aimed) return out;
  out.observed = (aimed->flags & CORDON_TARGET_OBSERVE) != 0;
  for (const cordon_grant& grant : grants(q, principal.class_id, aimed->id)) {
    out.rule = grant.rule;
    if ((grant.flags & CORDON_GRANT_DENY) != 0) return out;
    const bool passed_over =
        (flags & CORDON_SETTINGS_ISOLATED) != 0 && (grant.flags & CORDON_GRANT_RESPONDER) == 0;
    if (!passed_over) out.accept = principal.deadline_ns[grant.slot] > kTurnBase.sent_boot_ns;
    if (!out.accept) out.rule = 0;
    if (!passed_over) return out;
  }
  return out;
}

/// A node that writes one state after the other.
class Writing {
 public:
  Writing(const NodeState& first, std::vector<Question> questions) : questions_(std::move(questions)) {
    const Image image = image_of(first);
    for (std::size_t t = 0; t < node::kTables; ++t) maps_.put_all(static_cast<Table>(t), image.tables[t]);
    maps_.flags = node::make_host(first, 0, 0).flags;
    holds(first);
  }

  /// Writes the next state and looks at the maps after each row. Killed before the row numbered `end_at`, if
  /// there are so many: then what holds is what held, or the next state. The number of rows.
  std::size_t turn_to(const NodeState& next, std::size_t end_at = SIZE_MAX) {
    settle();
    const auto plan = node::make_plan(held(), image_of(next));
    std::size_t done = 0;
    const auto killed = node::for_writes(plan, maps_.generation + 1, [&](const Write& write) -> Result<> {
      if (write.kind == Write::Kind::turn) {
        ++maps_.generation;
        maps_.flags = node::make_host(next, 0, 0).flags;
        holds(next);
        return {};
      }
      for (std::size_t i = 0; i < write.rows->size(); ++i) {
        if (done++ == end_at) return fail(ErrorCode::internal, "killed");
        write.kind == Write::Kind::remove ? maps_.remove(write.table, *write.rows, i)
                                          : maps_.put(write.table, *write.rows, i);
        expect();
      }
      return {};
    });
    if (!killed) return done;
    // Nothing is left beside what is wanted.
    const Image want = image_of(next);
    for (std::size_t t = 0; t < node::kTables; ++t) {
      const auto table = static_cast<Table>(t);
      const auto left = node::difference(rows_that_hold(table), want[table]);
      RC_ASSERT(left.added.empty() && left.overwritten.empty() && left.removed.empty());
      if (node::has_sides(table))
        RC_ASSERT(node::settle(table, maps_.rows(table), maps_.generation).absent.empty());
    }
    return done;
  }

 private:
  static Image image_of(const NodeState& state) { return node::make_image(state, kTurnBase, {}); }
  Rows rows_that_hold(Table table) const {
    return node::has_sides(table) ? node::settle(table, maps_.rows(table), maps_.generation).rows
                                  : maps_.rows(table);
  }
  Image held() const {
    Image out = node::empty_image();
    for (std::size_t t = 0; t < node::kTables; ++t) out.tables[t] = rows_that_hold(static_cast<Table>(t));
    return out;
  }
  /// What the next daemon does first.
  void settle() {
    for (const Table table : {Table::targets, Table::principals}) {
      const auto settled = node::settle(table, maps_.rows(table), maps_.generation);
      for (std::size_t i = 0; i < settled.unmade.size(); ++i) {
        maps_.put(table, settled.unmade, i);
        expect();
      }
      for (std::size_t i = 0; i < settled.absent.size(); ++i) {
        maps_.remove(table, settled.absent, i);
        expect();
      }
    }
  }
  void holds(const NodeState& state) {
    expected_.clear();
    for (const Question& q : questions_) expected_.push_back(by_policy(state, q));
    expect();
  }
  void expect() const {
    for (std::size_t i = 0; i < questions_.size(); ++i)
      RC_ASSERT(maps_.answer(questions_[i]) == expected_[i]);
  }

  std::vector<Question> questions_;
  std::vector<Answer> expected_;
  Maps maps_;
};

/// One thing that happens: a tag moves, a device is isolated or released, a person comes or goes, rules
/// change.
void disturb(WorldGen& gen, WorldBuilder& builder) {
  policy::World& world = builder.world();
  auto& device = world.devices.at(DeviceId{fmt::format("d{}", gen.number(5))});
  const std::string tag = fmt::format("t{}", gen.number(4));
  const SessionId session{fmt::format("s-{}", gen.number(5))};
  switch (gen.number(7)) {
    case 0:
      device.isolated = !device.isolated;
      break;
    case 1:
    case 2:
      if (!device.tags.erase(tag)) device.tags.insert(tag);
      break;
    case 3:
      for (int i = 0; i < 5; ++i) {
        auto& other = world.devices.at(DeviceId{fmt::format("d{}", i)});
        if (other.tags.erase(tag) > 0) other.tags.insert(fmt::format("t{}", gen.number(4)));
      }
      break;
    case 4:
      world.sessions.close(session);
      break;
    case 5:
      builder.session(session.value, fmt::format("u{}@acme.example", gen.number(4)), device.id.value);
      break;
    default: {
      std::string text;
      for (const std::string& stanza : gen.definitions()) text += stanza;
      for (const std::string& stanza : gen.rules()) text += stanza;
      builder.policy(text);
    }
  }
  settle(world);
}

/// States of one node, one after the other, and what everybody who is in any of them may ask of it.
struct History {
  std::vector<NodeState> states;
  std::vector<Question> questions;

  History(WorldGen gen, int length) {
    WorldBuilder builder = gen.world();
    const DeviceId self{fmt::format("d{}", gen.number(5))};
    const bool v4 = gen.number(2) == 0;
    const auto of = [&](const policy::OverlayAddresses& all) { return v4 ? all.v4 : all.v6; };
    std::set<Address> sources, targets;
    for (int i = 0; i < length; ++i) {
      if (i > 0) disturb(gen, builder);
      states.push_back(policy::compile_node(builder.world(), self, kNow));
      for (const auto& principal : all_principals(builder.world()))
        sources.insert(of(addresses_of(builder.world(), principal)));
      for (const auto& [id, device] : builder.world().devices) targets.insert(of(target_addresses(device)));
    }
    const std::uint8_t protocol = gen.protocol();
    const std::uint16_t port = gen.port();
    for (const Address& source : sources)
      for (const Address& target : targets)
        for (const Direction direction : {Direction::ingress, Direction::egress})
          questions.push_back({direction, source, target, protocol, port});
  }
};

RC_GTEST_PROP(Turn, EveryMomentIsTheStateBeforeOrTheOneAfter, ()) {
  const History history(WorldGen(drawn(), {.conditions = true}), 4);
  Writing node(history.states[0], history.questions);
  for (std::size_t i = 1; i < history.states.size(); ++i) node.turn_to(history.states[i]);
}

RC_GTEST_PROP(Turn, KilledAtAnyRowTheNextDaemonGoesOn, ()) {
  const History history(WorldGen(drawn()), 3);
  const std::size_t rows = Writing(history.states[0], {}).turn_to(history.states[1]);
  Writing node(history.states[0], history.questions);
  node.turn_to(history.states[1], drawn()(static_cast<std::uint32_t>(rows) + 1));
  node.turn_to(history.states[2 * drawn()(2)]);  // what was to come may never come
}

// Targets may be prefixes in prefixes: one that comes or goes leaves what is around it.
RC_GTEST_PROP(Turn, PrefixesInEachOther, ()) {
  const Pick pick = drawn();
  const Address inside = Address::from_v4(0x64400101);
  const auto state_with = [&] {
    NodeState state;
    state.entries[policy::SettingsKey{}] = policy::SettingsValue{};
    state.entries[policy::PrincipalKey{Address::from_v4(1)}] = policy::PrincipalValue{.class_id = ClassId(7)};
    for (const unsigned bits : {8u, 16u, 24u, 31u, 32u})
      if (const std::uint32_t id = pick(5); id != 0)
        state.entries[policy::TargetKey{Prefix::of(inside, bits)}] =
            policy::TargetValue{.id = TargetId(id), .observe = pick(4) == 3};
    for (std::uint32_t id = 1; id < 4; ++id)
      state.entries[policy::GrantKey{
          .class_id = ClassId(7), .target = TargetId(id), .protocol = policy::kTcp, .port = 443}] =
          policy::GrantValue{.rule = RuleId(id), .lease_s = 60};
    return state;
  };
  std::vector<Question> questions;
  for (const std::uint32_t to : {0x64400101u, 0x64400100u, 0x64400177u, 0x64407777u, 0x64777777u})
    questions.push_back({Direction::ingress, Address::from_v4(1), Address::from_v4(to), policy::kTcp, 443});
  Writing node(state_with(), questions);
  for (int i = 0; i < 4; ++i) node.turn_to(state_with());
}

}  // namespace turn_test
}  // namespace cordon::test
