#pragma once
// What a principal may reach, by service, as people read it.

#include <string>
#include <vector>

#include "policy/evaluate.h"
#include "policy/node_state.h"

namespace cordon::controller {

struct ReachEntry {
  DeviceId target;
  std::vector<Prefix> prefixes;  ///< of the target: its addresses, or what it has behind its gateway
  std::string service;           ///< "settlement/ledger", or the segment of an ad-hoc access
  std::string access;            ///< "tcp/5432"
  std::string rule;
  Timestamp deadline = kNever;
};

/// By target, service, access; at most `most`. Read from the grants in `state`, which is that of the
/// principal's node: what it tells is what that node enforces, and it costs no judging. A range that several
/// grants and forbids share is told in its parts.
std::vector<ReachEntry> reach_of(const policy::World& world, const policy::NodeState& state,
                                 const policy::PrincipalRef& principal, Timestamp now, std::size_t most);

/// The open session of that person on the device.
const policy::Session* session_of(const policy::World& world, const DeviceId& device, std::uint32_t uid,
                                  Timestamp now);

}  // namespace cordon::controller
