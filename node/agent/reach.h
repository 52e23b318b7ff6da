#pragma once
// What a person or this device may reach, told from the state the node holds: the answer when no controller
// is there.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "policy/node_state.h"

namespace cordon::node {

struct ReachEntry {
  std::string target;  ///< device, or its address when the state names none
  std::vector<Address> addresses;
  std::string service, access, rule;
  Timestamp deadline = kNever;
};

/// The session of `uid` on this device, if any.
std::optional<std::pair<SessionId, policy::LocalSessionValue>> session_of(const policy::NodeState& state,
                                                                          std::uint32_t uid);

/// What the principal with the address `source` may reach; each access once. `lease_end` tells when a lease
/// of so many seconds ends.
std::vector<ReachEntry> reach_of(const policy::NodeState& state, const Address& source,
                                 const std::function<Timestamp(Seconds)>& lease_end);

}  // namespace cordon::node
