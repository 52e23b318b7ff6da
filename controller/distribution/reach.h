#pragma once
// What a principal may reach, by service, as people read it.

#include <string>
#include <vector>

#include "policy/evaluate.h"
#include "policy/node_state.h"

namespace cordon::controller {

struct ReachEntry {
  DeviceId target;
  policy::OverlayAddresses addresses;
  std::string service;  ///< "settlement/ledger", or the segment of an ad-hoc access
  std::string access;   ///< "tcp/5432"
  std::string rule;
  Timestamp deadline = kNever;
};

/// `state` is that of the principal's node: only targets that it lets the principal's class try are
/// evaluated. By target, service, access.
std::vector<ReachEntry> reach_of(const policy::World& world, const policy::NodeState& state,
                                 const policy::PrincipalRef& principal, Timestamp now);

/// The open session of that person on the device.
const policy::Session* session_of(const policy::World& world, const DeviceId& device, std::uint32_t uid,
                                  Timestamp now);

}  // namespace cordon::controller
