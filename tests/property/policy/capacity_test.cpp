// I11: what is counted by groups is what the nodes' states hold.

#include "policy/capacity.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>
#include <vector>

#include "policy/compile.h"
#include "tests/property/policy/draw.h"

namespace cordon::test {
namespace capacity_test {

/// What the states hold, each key once.
policy::NodeNeeds held(const policy::World& world, const std::vector<policy::NodeState>& states) {
  policy::NodeNeeds held;
  for (const Prefix* overlay : {&world.installation.overlay_v4, &world.installation.overlay_v6})
    held.targets += !overlay->address.is_unspecified();
  std::set<policy::Key> keys;
  std::set<RuleId> rules;
  for (const policy::NodeState& state : states)
    for (const auto& [key, value] : state.entries) {
      keys.insert(key);
      if (const auto* grant = std::get_if<policy::GrantValue>(&value); grant != nullptr && !grant->deny)
        rules.insert(grant->rule);
    }
  for (const policy::Key& key : keys) {
    held.principals += std::holds_alternative<policy::PrincipalKey>(key);
    held.targets += std::holds_alternative<policy::TargetKey>(key);
    if (const auto* grant = std::get_if<policy::GrantKey>(&key))
      ++(grant->port_bits == 0 || grant->port_bits == 16 ? held.grants : held.grant_ranges);
  }
  held.rule_counters = rules.size();
  return held;
}

void expect_counted(const policy::NodeNeeds& counted, const policy::NodeNeeds& is) {
  RC_ASSERT(counted.principals == is.principals);
  RC_ASSERT(counted.targets == is.targets);
  RC_ASSERT(counted.grants >= is.grants);
  RC_ASSERT(counted.grant_ranges >= is.grant_ranges);
  RC_ASSERT(counted.rule_counters >= is.rule_counters);
}

RC_GTEST_PROP(Capacity, no_node_needs_more_than_was_counted, ()) {
  WorldGen gen(drawn());
  const policy::World world = gen.world().world();
  const auto needs = policy::node_needs(world, kNow);
  const auto states = policy::compile(world, kNow);
  RC_ASSERT(needs.size() == states.size());
  for (const auto& [device, state] : states) expect_counted(needs.at(device), held(world, {state}));
}

RC_GTEST_PROP(Capacity, no_turn_needs_more_than_was_counted, ()) {
  WorldGen gen(drawn());
  const policy::World world = gen.world().world();
  const policy::World next = policy::with_policy(world, gen.world().world().policy);
  const policy::Relations before(world, kNow), after(next, kNow);
  policy::Needs needs(next, after, &before);
  const auto was = policy::compile(world, kNow), is = policy::compile(next, kNow);
  for (const auto& [device, state] : is)
    expect_counted(needs.of(next.devices.at(device)), held(next, {was.at(device), state}));
}

}  // namespace capacity_test
}  // namespace cordon::test
