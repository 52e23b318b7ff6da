// I11: what is counted by groups is what the nodes' states hold.

#include "policy/capacity.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "policy/compile.h"
#include "tests/property/policy/draw.h"

namespace cordon::test {
namespace capacity_test {

policy::NodeNeeds held(const policy::World& world, const policy::NodeState& state) {
  policy::NodeNeeds held;
  for (const Prefix* overlay : {&world.installation.overlay_v4, &world.installation.overlay_v6})
    held.targets += !overlay->address.is_unspecified();
  for (const auto& [key, value] : state.entries) {
    held.principals += std::holds_alternative<policy::PrincipalKey>(key);
    held.targets += std::holds_alternative<policy::TargetKey>(key);
    if (const auto* grant = std::get_if<policy::GrantKey>(&key))
      ++(grant->port_bits == 0 || grant->port_bits == 16 ? held.grants : held.grant_ranges);
  }
  return held;
}

RC_GTEST_PROP(Capacity, no_node_needs_more_than_was_counted, ()) {
  WorldGen gen(drawn());
  const policy::World world = gen.world().world();
  const auto needs = policy::node_needs(world, kNow);
  const auto states = policy::compile(world, kNow);
  RC_ASSERT(needs.size() == states.size());
  for (const auto& [device, state] : states) {
    const policy::NodeNeeds is = held(world, state), counted = needs.at(device);
    RC_ASSERT(counted.principals == is.principals);
    RC_ASSERT(counted.targets == is.targets);
    RC_ASSERT(counted.grants >= is.grants);
    RC_ASSERT(counted.grant_ranges >= is.grant_ranges);
  }
}

}  // namespace capacity_test
}  // namespace cordon::test
