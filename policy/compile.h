#pragma once
// World to node states: for each node just the peers, principals, targets and grants that it enforces (I6).

#include <map>

#include "base/time.h"
#include "policy/node_state.h"
#include "policy/world.h"

namespace cordon::policy {

/// The state of every active device's node, as of `now`. Pure.
std::map<DeviceId, NodeState> compile(const World& world, Timestamp now);

/// The same for one node; empty when the device is unknown or not active.
NodeState compile_node(const World& world, const DeviceId& device, Timestamp now);

/// The first moment after `now` at which time alone may change some node's state (a session ends, a condition
/// begins or ceases to hold, or the rule that is named for a grant changes because two end together); kNever:
/// none. Until then compile() gives the same states.
Timestamp next_change_at(const World& world, Timestamp now);

/// What the kernel would say of a new flow by these entries alone, in DATAPATH.md's order of search; for
/// tests, `explain` and the node's own `status`. `at` counts as the moment of the last confirmation.
struct TableVerdict {
  bool accept = false;
  RuleId rule;
  Timestamp deadline = kNever;
  bool observed = false;  ///< the target observes: accepted and reported although no grant says so (P9)
};
struct PacketVerdict : TableVerdict {
  bool passes = false;  ///< what the kernel does: accepted, or only a grant lacks and the target observes
};
PacketVerdict look_up(const NodeState& state, Direction direction, const Address& source,
                      const Address& destination, std::uint8_t protocol, std::uint16_t port, Timestamp at);

}  // namespace cordon::policy
