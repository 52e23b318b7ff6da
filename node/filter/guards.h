#pragma once
// Guarded port ranges as the prefixes that a trie can hold.

#include <cstdint>
#include <vector>

#include "policy/node_state.h"

namespace cordon::node {

/// All ports whose first `port_bits` bits are those of `port`.
struct GuardPrefix {
  std::uint8_t protocol = 0;
  std::uint8_t port_bits = 16;
  std::uint16_t port = 0;
  bool count_only = false;
  bool operator==(const GuardPrefix&) const = default;
};

/// The fewest prefixes that say the same as all GuardKeys of the state; where they overlap, dropping wins
/// over counting.
std::vector<GuardPrefix> guard_prefixes(const policy::NodeState& state);

}  // namespace cordon::node
