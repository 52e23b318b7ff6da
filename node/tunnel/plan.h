#pragma once
// The smallest change from the peers a tunnel holds to the peers that are wanted.

#include "node/tunnel/wireguard.h"

namespace cordon::node::wireguard {

/// Pure. Nothing is said of a peer that is as wanted. Additions come first, so that allowed-IPs that move
/// between peers are taken over at once; then single allowed-IPs that nobody wants are parked on a peer with
/// the key `parking` (neither protocol can drop one without dropping all of that peer's for a moment), which
/// goes with the peers that are not wanted. `parking` is random and belongs to nobody. `conflict`: a key or
/// an allowed-IP is wanted twice.
Result<std::vector<PeerChange>> plan_peers(const std::vector<PeerState>& held,
                                           const std::vector<Peer>& wanted, const WireguardKey& parking);

/// Pure. The private key, and for each peer its preshared key under it; a keepalive that is set goes off and
/// on again, since only one that begins is sent at once. A peer without keepalive is not talked to.
DeviceChange plan_turn(const std::vector<PeerState>& held, const WireguardKey& key,
                       const PresharedByPeer& preshared);

/// What people see of the peers; `now` is the wall clock.
std::vector<PeerStatus> to_status(const DeviceState& state, Timestamp now);

}  // namespace cordon::node::wireguard
