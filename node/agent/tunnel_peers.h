#pragma once
// The tunnel's peers as a state wants them: where each is reached, its preshared key, and both of its keys
// while it turns to another (DATAPATH.md, "WireGuard keys"). A device's next key is a second peer without
// allowed-IPs. The first authenticated packet under it moves the allowed-IPs; the old key stays a second
// longer, for what is on its way. Without such a packet both stay until the controller says which key it is.
//
// A new peer is quiet: nothing is sent to it until there is data for it, or the controller says that it holds
// us too. Of two initiations that cross neither is answered in the end, and one that finds no peer is lost;
// WireGuard tries again only after 5 s.

#include <map>
#include <optional>
#include <set>

#include "base/address.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "node/tunnel/tunnel.h"
#include "policy/node_state.h"

namespace cordon::node {

class TunnelPeers {
 public:
  using States = std::map<DeviceId, policy::PeerValue>;
  explicit TunnelPeers(Tunnel& tunnel) : tunnel_(tunnel) {}

  /// Makes the tunnel hold the peers of `states`; those it wasn't told of before are quiet at first. After an
  /// error it holds what it did.
  Result<> set(const States& states);
  /// That peer holds us: a handshake may begin, which the next set() does; with a peer that is yet to come,
  /// the one that brings it. True: it is quiet until then.
  bool begin(const DeviceId& device);
  /// Where peers are reached, as the controller heard it; used by the next set().
  void hint(const DeviceId& device, const Endpoint& endpoint) { hints_.insert_or_assign(device, endpoint); }
  /// Of our own key that the tunnel has; used by the next set().
  void use_preshared(PresharedByPeer preshared) { preshared_ = std::move(preshared); }
  /// Where the peers of `states` are reached: where the tunnel heard each last, and the hint.
  Result<std::vector<Endpoint>> ends(const States& states) const;
  /// The tunnel was made anew: it knows none of what it was told. Its peers knew us before, so the next set()
  /// makes none of them quiet.
  void forget();

  /// Some peer is about to turn.
  bool turning(const States& states) const;
  /// Some peer is quiet, about to turn, or turned within the last second: look() is to be called soon again.
  bool restless(const States& states) const;
  /// Looks for peers that turned, lets old keys go when their time is over, and begins with peers that were
  /// quiet for a second or two.
  Result<> look(const States& states, BootNs now);
  /// The key whose peer carries the device's allowed-IPs.
  WireguardKey key_of(const DeviceId& device, const policy::PeerValue& state) const;

 private:
  struct Old {
    DeviceId device;
    std::optional<BootNs> since;  ///< none: not looked at yet
  };
  bool pending(const DeviceId& device, const policy::PeerValue& state) const;
  /// The peers that turned since.
  Result<std::vector<Peer>> note_turned(const States& states);

  Tunnel& tunnel_;
  std::map<DeviceId, Endpoint> hints_;
  std::map<DeviceId, Endpoint> told_;  ///< hints that the tunnel was given: it may know better since
  PresharedByPeer preshared_;
  std::map<DeviceId, WireguardKey> turned_;          ///< to these next keys, as seen here
  std::map<DeviceId, WireguardKey> used_;            ///< the peer that has the allowed-IPs
  std::map<WireguardKey, Old> old_;                  ///< had them before, and has none now
  std::map<DeviceId, std::optional<BootNs>> quiet_;  ///< since; none: not looked at yet
  std::set<DeviceId> begins_;                        ///< peers that are yet to come, and won't be quiet
  bool anew_ = false;                                ///< what the tunnel is told next makes nobody quiet
};

}  // namespace cordon::node
