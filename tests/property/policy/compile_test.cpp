// Laws of compile(): the tables say what the oracle says, and no more than each node needs to know.

#include "policy/compile.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/property/policy/draw.h"

namespace cordon::test {
namespace compile_test {

using policy::Direction;
using policy::NodeState;
using policy::World;

using States = std::map<DeviceId, NodeState>;

const NodeState& state_of(const States& states, const DeviceId& device) {
  static const NodeState kNone;
  const auto it = states.find(device);
  return it == states.end() ? kNone : it->second;
}

/// What one node's tables say of a query, and whether the oracle says the same.
void check_side(const World& world, const NodeState& state, Direction direction, const policy::Query& query,
                const policy::Decision& decision, const Address& source, const Address& destination,
                Timestamp now) {
  const auto verdict =
      policy::look_up(state, direction, source, destination, query.protocol, query.port, now);
  RC_ASSERT(verdict.accept == (decision.verdict == policy::Verdict::allow));
  if (!verdict.accept) return;
  RC_ASSERT(verdict.rule == world.rule_ids.at(decision.rule));
  RC_ASSERT(verdict.deadline == decision.deadline);
}

void check_query(const World& world, const States& states, const policy::Query& query, Timestamp now) {
  const policy::Decision decision = policy::evaluate(world, query, now);
  const auto from = addresses_of(world, query.principal);
  const auto target = world.devices.find(query.target);
  if (target == world.devices.end()) return;
  const auto to = target_addresses(target->second);
  const auto& source_node = state_of(states, device_of(world, query.principal));
  const auto& target_node = state_of(states, node_of(target->second));
  for (const auto& [source, destination] : {std::pair(from.v4, to.v4), std::pair(from.v6, to.v6)}) {
    if (destination.is_unspecified()) continue;  // behind a gateway, with the other family only
    check_side(world, source_node, Direction::egress, query, decision, source, destination, now);
    check_side(world, target_node, Direction::ingress, query, decision, source, destination, now);
  }
}

/// Some protocols and ports; every pair of principal and target is asked about each.
std::vector<std::pair<std::uint8_t, std::uint16_t>> some_ports(WorldGen& gen) {
  std::vector<std::pair<std::uint8_t, std::uint16_t>> out;
  for (int i = 0; i < 12; ++i) {
    const std::uint8_t protocol = gen.protocol();
    out.emplace_back(protocol, gen.port());
  }
  return out;
}

/// Rules with conditions; so few that no deadlines share a slot.
constexpr WorldShape kConditions{.rules = 6, .conditions = true};

// I2, P1-P3, P7-P10.
RC_GTEST_PROP(Compile, the_tables_of_both_ends_equal_evaluate, ()) {
  WorldGen gen(drawn(), kConditions);
  const World world = gen.world().world();
  const States states = policy::compile(world, kNow);
  const auto ports = some_ports(gen);
  for (const auto& principal : all_principals(world))
    for (const auto& [target, device] : world.devices)
      for (const auto& [protocol, port] : ports)
        check_query(world, states,
                    {.principal = principal, .target = target, .protocol = protocol, .port = port}, kNow);
}

// P7: between compiles time passes; sessions end by their deadlines all the same.
RC_GTEST_PROP(Compile, until_the_next_change_time_changes_nothing, ()) {
  WorldGen gen(drawn(), kConditions);
  const World world = gen.world().world();
  const States states = policy::compile(world, kNow);
  const Timestamp next = policy::next_change_at(world, kNow);
  RC_ASSERT(next > kNow);
  const Timestamp later =
      next == kNever ? kNow + std::chrono::hours(1000) : next - std::chrono::microseconds(1);
  RC_ASSERT(policy::compile(world, later) == states);
}

// I2, I5: a node that nobody tells anything goes on confirming; it never accepts what evaluate denies by
// then.
RC_GTEST_PROP(Compile, as_time_goes_on_nothing_is_accepted_that_evaluate_denies, ()) {
  WorldGen gen(drawn(), {.rules = 12, .conditions = true});
  const World world = gen.world().world();
  const States states = policy::compile(world, kNow);
  Timestamp at = kNow;
  for (int step = 0; step < 4; ++step) {
    const Timestamp next = policy::next_change_at(world, at);
    if (next == kNever) break;
    at = step % 2 == 0 ? next : next + std::chrono::minutes(gen.number(20));
    for (const auto& [protocol, port] : some_ports(gen))
      for (const auto& principal : all_principals(world))
        for (const auto& [target, device] : world.devices) {
          const auto verdict = policy::look_up(state_of(states, node_of(device)), Direction::ingress,
                                               addresses_of(world, principal).v4, target_addresses(device).v4,
                                               protocol, port, at);
          if (!verdict.accept) continue;
          const policy::Query query{
              .principal = principal, .target = target, .protocol = protocol, .port = port};
          RC_ASSERT(policy::evaluate(world, query, at).verdict == policy::Verdict::allow);
        }
  }
}

RC_GTEST_PROP(Compile, one_node_alone_is_the_same_as_among_all, ()) {
  WorldGen gen(drawn(), kConditions);
  const World world = gen.world().world();
  const States states = policy::compile(world, kNow);
  for (const auto& [id, device] : world.devices)
    RC_ASSERT(policy::compile_node(world, id, kNow) == state_of(states, id));
}

/// Who is told of whom, by addresses.
std::set<Address> all_addresses(const policy::OverlayAddresses& a) {
  return {a.v4, a.v6};
}

struct Owners {
  std::map<Address, policy::PrincipalRef> principals;
  std::map<Prefix, DeviceId> targets;
};
Owners owners_of(const World& world) {
  Owners owners;
  for (const auto& principal : all_principals(world))
    for (const Address& address : all_addresses(addresses_of(world, principal)))
      if (!address.is_unspecified()) owners.principals.emplace(address, principal);
  for (const auto& [id, device] : world.devices)
    for (const Prefix& prefix : policy::prefixes_of(device)) owners.targets.emplace(prefix, id);
  return owners;
}

bool observes(const World& world, const DeviceId& id) {
  const auto& device = world.devices.at(id);
  const auto segments = policy::segments_of(world, device);
  return !device.cut_off() && !segments.empty() &&
         std::ranges::all_of(segments, [&](const std::string& name) {
           return world.policy->segments.at(name).mode == policy::Mode::observe;
         });
}

TargetId target_id(const World& world, const policy::Device& device) {
  return policy::target_of(world, device, policy::segments_of(world, device));
}

/// What a node enforces for: itself and what is behind it.
std::vector<DeviceId> hosted_by(const World& world, const DeviceId& node) {
  std::vector<DeviceId> out{node};
  for (const auto& [id, device] : world.devices)
    if (device.gateway == node && device.state == policy::DeviceState::active) out.push_back(id);
  return out;
}

/// Does some accepting grant of this state link the class and the target?
bool has_grant(const NodeState& state, Direction direction, const ClassId& class_id, const TargetId& target) {
  return std::ranges::any_of(state.entries, [&](const auto& entry) {
    const auto* key = std::get_if<policy::GrantKey>(&entry.first);
    return key && key->direction == direction && key->class_id == class_id && key->target == target &&
           !std::get<policy::GrantValue>(entry.second).deny;
  });
}

// I6: beside its own, a node is told only of principals that hold a grant on it, of targets that its
// principals hold a grant on, of the peers those are on, and of what observes.
RC_GTEST_PROP(Compile, need_to_know, ()) {
  WorldGen gen(drawn());
  const World world = gen.world().world();
  const Owners owners = owners_of(world);
  for (const auto& [self, state] : policy::compile(world, kNow)) {
    const auto& device = world.devices.at(self);
    std::set<Prefix> needed;
    for (const auto& [key, value] : state.entries) {
      if (const auto* principal = std::get_if<policy::PrincipalKey>(&key)) {
        const auto& class_id = std::get<policy::PrincipalValue>(value).class_id;
        if (device_of(world, owners.principals.at(principal->address)) == self) continue;
        needed.insert(Prefix::host(principal->address));
        RC_ASSERT(std::ranges::any_of(hosted_by(world, self), [&](const DeviceId& id) {
          return observes(world, id) ||
                 has_grant(state, Direction::ingress, class_id, target_id(world, world.devices.at(id)));
        }));
      }
      if (const auto* target = std::get_if<policy::TargetKey>(&key)) {
        const DeviceId& owner = owners.targets.at(target->prefix);
        if (node_of(world.devices.at(owner)) == self) continue;
        needed.insert(target->prefix);
        const bool granted = std::ranges::any_of(state.entries, [&](const auto& entry) {
          const auto* local = std::get_if<policy::PrincipalKey>(&entry.first);
          return local && device_of(world, owners.principals.at(local->address)) == self &&
                 has_grant(state, Direction::egress, std::get<policy::PrincipalValue>(entry.second).class_id,
                           std::get<policy::TargetValue>(value).id);
        });
        RC_ASSERT(granted || (observes(world, owner) && !device.isolated));
      }
    }
    std::set<Prefix> allowed;
    for (const auto& [key, value] : state.entries)
      if (const auto* peer = std::get_if<policy::PeerValue>(&value))
        for (const Prefix& prefix : peer->allowed_ips) RC_ASSERT(allowed.insert(prefix).second);
    RC_ASSERT(allowed == needed);
  }
}

using Classes = std::map<ClassId, std::map<policy::GrantKey, policy::GrantValue>>;
Classes classes_of(const NodeState& state) {
  Classes classes;
  for (const auto& [key, value] : state.entries)
    if (const auto* grant = std::get_if<policy::GrantKey>(&key))
      classes[grant->class_id].emplace(*grant, std::get<policy::GrantValue>(value));
  return classes;
}

/// One thing that happens to a world.
void disturb(WorldGen& gen, WorldBuilder& builder) {
  World& world = builder.world();
  auto& device = world.devices.at(DeviceId{fmt::format("d{}", gen.number(5))});
  switch (gen.number(5)) {
    case 0:
      device.isolated = !device.isolated;
      break;
    case 1:
      device.tags.insert(fmt::format("t{}", gen.number(4)));
      break;
    case 2:
      device.tags.clear();
      break;
    case 3:
      world.sessions.close(SessionId{fmt::format("s-{}", gen.number(5))});
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

// DATAPATH.md, Writing the maps: a class that principals point at never gains or loses in place.
RC_GTEST_PROP(Compile, a_class_never_changes_in_place, ()) {
  WorldGen gen(drawn());
  WorldBuilder builder = gen.world();
  const States before = policy::compile(builder.world(), kNow);
  disturb(gen, builder);
  for (const auto& [id, state] : policy::compile(builder.world(), kNow)) {
    const Classes old = classes_of(state_of(before, id));
    for (const auto& [class_id, grants] : classes_of(state))
      if (const auto it = old.find(class_id); it != old.end()) RC_ASSERT(it->second == grants);
  }
}

RC_GTEST_PROP(Compile, a_difference_applied_gives_the_other_state_and_its_digest, ()) {
  WorldGen gen(drawn());
  WorldBuilder builder = gen.world();
  const States before = policy::compile(builder.world(), kNow);
  disturb(gen, builder);
  const States after = policy::compile(builder.world(), kNow);
  for (const auto& [id, device] : builder.world().devices) {
    const auto changes = policy::difference(state_of(before, id), state_of(after, id));
    NodeState state = state_of(before, id);
    SetDigest digest = policy::digest(state);
    for (const policy::Change& change : changes) {
      if (const auto it = state.entries.find(change.key); it != state.entries.end())
        digest.remove(policy::encode(it->first, it->second));
      if (change.value) digest.add(policy::encode(change.key, *change.value));
    }
    policy::apply(state, changes);
    RC_ASSERT(state == state_of(after, id));
    RC_ASSERT(digest == policy::digest(state));
  }
}

// What takes_away() calls harmless never stops a flow that was accepted.
RC_GTEST_PROP(Compile, changes_that_take_nothing_away_stop_no_flow, ()) {
  WorldGen gen(drawn());
  WorldBuilder builder = gen.world();
  const World old_world = builder.world();
  const States before = policy::compile(old_world, kNow);
  disturb(gen, builder);
  const States after = policy::compile(builder.world(), kNow);
  auto ports = some_ports(gen);
  ports.resize(3);
  for (const auto& [id, old_state] : before) {
    NodeState state = old_state;
    for (const policy::Change& change : policy::difference(old_state, state_of(after, id))) {
      const auto it = old_state.entries.find(change.key);
      if (!policy::takes_away(it == old_state.entries.end() ? nullptr : &it->second, change))
        policy::apply(state, {change});
    }
    for (const auto& principal : all_principals(old_world))
      for (const auto& [target, device] : old_world.devices)
        for (const auto& [protocol, port] : ports)
          for (const Direction direction : {Direction::ingress, Direction::egress}) {
            const Address source = addresses_of(old_world, principal).v6;
            const Address destination = target_addresses(device).v6;
            if (policy::look_up(old_state, direction, source, destination, protocol, port, kNow).accept)
              RC_ASSERT(policy::look_up(state, direction, source, destination, protocol, port, kNow).accept);
          }
  }
}

}  // namespace compile_test
}  // namespace cordon::test
