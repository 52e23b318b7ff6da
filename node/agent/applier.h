#pragma once
// Makes the machine hold a state: tunnel, addresses, filter, routes, in an order in which nothing is let
// through that neither state allows and nothing is dropped that both allow (I10). A failure leaves the tunnel
// as it was; the filter never goes back to what a new state takes away.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "node/agent/gateways.h"
#include "node/agent/overlay.h"
#include "node/agent/tunnel_peers.h"
#include "node/filter/filter.h"
#include "node/netlink/network.h"
#include "node/tunnel/tunnel.h"
#include "policy/node_state.h"

namespace cordon::node {

class Applier {
 public:
  /// `declared`: the subnets behind this host.
  Applier(Filter& filter, Tunnel& tunnel, Network& network, std::vector<UidRange> people = {},
          std::vector<Prefix> declared = {})
      : filter_(filter),
        tunnel_(tunnel),
        network_(network),
        people_(std::move(people)),
        declared_(std::move(declared)),
        tunnel_peers_(tunnel) {}

  /// After an error of either, what filter and tunnel hold is known only to be no wider than wanted: a whole
  /// state has to come next. A cut never waits for the tunnel: it is made even when that fails.
  Result<ApplyReport> replace(const policy::NodeState& wanted, const TimeBase& base, bool raise_epoch);
  Result<ApplyReport> update(const policy::NodeState& before, const std::vector<policy::Change>& changes,
                             const TimeBase& base, bool raise_epoch);

  /// `replace` in three parts. Between the first and the last, the second may run in another thread, and
  /// nothing of the applier may be called that sets something, nor of the filter what writes states, people
  /// or controllers.
  Result<> begin_replace(const policy::NodeState& wanted, const TimeBase& base, bool raise_epoch);
  Result<ApplyReport> write_replace(const policy::NodeState& wanted, const TimeBase& base, bool raise_epoch);
  Result<ApplyReport> end_replace(const policy::NodeState& wanted, Result<ApplyReport> written);

  /// After the interface was made anew, or to start from a state read from disk: tunnel and network alone.
  Result<> restore(const Overlay& overlay);
  Result<> restore() { return current_known_ ? restore(Overlay(current_)) : Result<>{}; }

  /// Puts back what somebody else changed of our addresses, rules and routes; a line for each sort.
  Result<std::vector<std::string>> keep_network();
  /// Whose uids are people's from now on.
  Result<> set_people(std::vector<UidRange> people);

  /// Tells the filter what is behind which gateway, before this process holds any state: by `overlay`.
  Result<> guard_subnets(const Overlay& overlay);
  /// The tunnel outlived the daemon: what guard_subnets() found wrong goes from its routes and rules; where
  /// all is right, nothing is touched.
  Result<> lead_as_guarded();
  /// After this host's addresses or its peers' places changed: what is routed into the overlay may be others.
  Result<> follow_gateways();
  /// As much of it as sets nothing but the filter: also between begin_replace and end_replace.
  Result<> follow_own_places();
  /// All that this host may look for: none of them comes to lie in the overlay.
  Result<> set_controllers(std::vector<Endpoint> controllers);
  /// What of gateways is left out, and the mend.
  const std::vector<std::string>& gateway_alarms() const { return gateways_.alarms; }

  /// Where peers are reached, as the controller heard it; `begin`: handshakes with these may begin.
  Result<> set_endpoint_hints(const std::map<DeviceId, Endpoint>& hints,
                              const std::set<DeviceId>& begin = {});
  /// Of the WireGuard key that the tunnel has, by the peers'. `now`: the peers that are there get theirs.
  Result<> use_preshared(PresharedByPeer preshared, bool now);
  bool turning() const { return tunnel_peers_.turning(peers_); }
  /// Some peer is quiet or turns to another key: look_at_peers() is to be called soon again, also between
  /// begin_replace and end_replace.
  bool restless() const { return tunnel_peers_.restless(peers_); }
  Result<> look_at_peers(BootNs now) { return tunnel_peers_.look(peers_, now); }
  /// The key under which a peer is talked to.
  WireguardKey key_of(const DeviceId& device, const policy::PeerValue& peer) const {
    return tunnel_peers_.key_of(device, peer);
  }

  /// While this host is isolated: tells the filter where the peers that are left are reached, as the tunnel
  /// learnt it from their handshakes and else as the controller heard it. To be called again and again.
  Result<> follow_peers();
  /// Where they were at last.
  const std::vector<Endpoint>& ends() const { return ends_; }
  /// Peers by key, to name what the tunnel reports.
  const std::map<DeviceId, policy::PeerValue>& peers() const { return current_.peers; }

 private:
  /// `all`: tunnel and network are asked even for what should be there already; the kernel is the truth.
  template <class CutFilter>
  Result<> begin(const Overlay& after, bool all, CutFilter cut);
  Result<ApplyReport> end(Overlay after, bool all, Result<ApplyReport> written);
  Result<> prepare(const Overlay& after, bool all);
  Result<> finish(const Overlay& after, bool all);
  void back_to_current();
  Result<Gateways> look_at_gateways(const Overlay& overlay) const;
  Result<> tell_own_places(const Gateways& gateways);
  /// What routes and subnets go by; null: this process knows of none.
  const Overlay* guiding() const { return current_known_ ? &current_ : guarded_ ? &*guarded_ : nullptr; }
  /// The ways into the overlay, of people and of the device.
  Result<> lead(const Overlay& after, const Gateways& gateways, bool all);
  Result<> tell_subnets(const Gateways& gateways);
  Result<> set_peers(const std::map<DeviceId, policy::PeerValue>& peers);
  Result<> tell_ends(const Overlay& overlay);

  Filter& filter_;
  Tunnel& tunnel_;
  Network& network_;
  std::vector<UidRange> people_;
  std::vector<Prefix> declared_;
  std::vector<Endpoint> controllers_;
  Gateways gateways_;          ///< as they are routed and told
  bool subnets_told_ = false;  ///< by this process
  Overlay current_;
  bool current_known_ = false;  ///< false: what an earlier daemon left, to be kept until a state is applied
  std::optional<Overlay> guarded_;  ///< of guard_subnets(); what counts while no current is known
  bool leads_guarded_ = false;      ///< its routes are kept right too
  std::map<DeviceId, policy::PeerValue> peers_;  ///< as the tunnel was told: amid a replace those of both
  TunnelPeers tunnel_peers_;
  std::vector<Endpoint> ends_;
};

}  // namespace cordon::node
