#pragma once
// Makes the machine hold a state: tunnel, addresses, filter, routes, in an order in which nothing is let
// through that neither state allows and nothing is dropped that both allow (I10). A failure leaves the tunnel
// as it was; the filter never goes back to what a new state takes away.

#include <map>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "node/filter/filter.h"
#include "node/netlink/network.h"
#include "node/tunnel/tunnel.h"
#include "policy/node_state.h"

namespace cordon::node {

/// What tunnel and network need of a state: few entries, unlike the grants.
struct Overlay {
  std::map<DeviceId, policy::PeerValue> peers;
  std::map<SessionId, policy::LocalSessionValue> sessions;
  std::optional<policy::SettingsValue> settings;
  bool operator==(const Overlay&) const = default;
};
Overlay overlay_of(const policy::NodeState& state);
void apply(Overlay& overlay, const std::vector<policy::Change>& changes);

/// The interface's addresses: the device's, and its sessions' deprecated, so that only a route that names one
/// picks it.
std::vector<OwnAddress> overlay_addresses(const Overlay& overlay);
/// The overlay's routes; the preferred source is the session's when there is exactly one, else the device's.
std::vector<Route> overlay_routes(const Overlay& overlay);

class Applier {
 public:
  Applier(Filter& filter, Tunnel& tunnel, Network& network)
      : filter_(filter), tunnel_(tunnel), network_(network) {}

  /// After an error of either, what filter and tunnel hold is known only to be no wider than wanted: a whole
  /// state has to come next. A cut never waits for the tunnel: it is made even when that fails.
  Result<ApplyReport> replace(const policy::NodeState& wanted, const TimeBase& base, bool raise_epoch);
  Result<ApplyReport> update(const policy::NodeState& before, const std::vector<policy::Change>& changes,
                             const TimeBase& base, bool raise_epoch);

  /// After the interface was made anew, or to start from a state read from disk: tunnel and network alone.
  Result<> restore(const Overlay& overlay);
  Result<> restore() { return current_known_ ? restore(Overlay(current_)) : Result<>{}; }

  /// Where peers are reached, as the controller heard it.
  Result<> set_endpoint_hints(const std::map<DeviceId, Endpoint>& hints);
  /// Peers by key, to name what the tunnel reports.
  const std::map<DeviceId, policy::PeerValue>& peers() const { return current_.peers; }

 private:
  /// `all`: tunnel and network are asked even for what should be there already; the kernel is the truth.
  template <class WriteFilter, class CutFilter>
  Result<ApplyReport> run(Overlay after, bool all, WriteFilter write, CutFilter cut);
  Result<> prepare(const Overlay& after, bool all);
  Result<> finish(const Overlay& after, bool all);
  void back_to_current();
  Result<> set_peers(const std::map<DeviceId, policy::PeerValue>& peers);
  void end_sockets(const Overlay& after);
  void end_sockets_of_gone(const policy::NodeState& before, const std::vector<policy::Change>& changes);
  void destroy_sockets(const Address& local, const Address& remote);

  Filter& filter_;
  Tunnel& tunnel_;
  Network& network_;
  Overlay current_;
  bool current_known_ = false;  ///< false: what an earlier daemon left, to be kept until a state is applied
  std::map<DeviceId, Endpoint> hints_;
  std::map<DeviceId, Endpoint> told_;  ///< hints that the tunnel was given: it may know better since
};

}  // namespace cordon::node
