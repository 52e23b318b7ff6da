#pragma once
// What tunnel and network need of a state, and the addresses, routes and rules that follow from it.

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/ids.h"
#include "node/netlink/network.h"
#include "policy/node_state.h"

namespace cordon::node {

/// What tunnel and network need of a state: few entries, unlike the grants.
struct Overlay {
  std::map<DeviceId, policy::PeerValue> peers;
  std::map<SessionId, policy::LocalSessionValue> sessions;
  std::optional<policy::SettingsValue> settings;
  std::set<Prefix> away;  ///< targets outside the overlay: of a gateway's subnets
  bool operator==(const Overlay&) const = default;
};
Overlay overlay_of(const policy::NodeState& state);
void apply(Overlay& overlay, const std::vector<policy::Change>& changes);

/// Does the prefix lie within the overlay's own?
bool is_overlays(const Overlay& overlay, const Prefix& prefix);

/// The interface's addresses: the device's, and its sessions' deprecated, so that only a route that names one
/// picks it.
std::vector<OwnAddress> overlay_addresses(const Overlay& overlay);
/// The routes into the overlay, and with it to `routed`, for who is nobody's person: the preferred source is
/// the device's.
std::vector<Route> overlay_routes(const Overlay& overlay, const std::vector<Prefix>& routed);

/// The ways of people there: each by their own session. A session of a uid that is no person's is nobody's.
PeopleRouting people_routing(const Overlay& overlay, const std::vector<Prefix>& routed,
                             const std::vector<UidRange>& people);

}  // namespace cordon::node
