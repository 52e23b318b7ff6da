#pragma once
// Keeps the programs on the right interfaces and the tunnel's MTU right, as links and routes come and go.

#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "node/agent/config.h"
#include "node/agent/mtu.h"
#include "node/filter/filter.h"
#include "node/netlink/network.h"
#include "node/tunnel/tunnel.h"

namespace cordon::node {

/// What the underlay guard is attached to: all but loopback and the overlay, or those that node.toml names;
/// all of them while this host is isolated.
std::vector<unsigned> underlay_of(const NodeConfig& config, const std::vector<Link>& links, bool contained);

class Interfaces {
 public:
  Interfaces(const NodeConfig& config, Filter& filter, Tunnel& tunnel, Network& network)
      : config_(config), filter_(filter), tunnel_(tunnel), network_(network) {}

  /// The verdict program first, then the link goes up: no packet passes an interface that nobody judges.
  Result<> set_up();
  /// After links changed: underlay and MTU. A guard that can't be attached is an alarm, not an error: the
  /// rest goes on, and `refresh` is to be called again.
  Result<> refresh();
  /// The first part of it.
  void guard();
  /// The second, after routes or addresses changed, or when the kernel may have learnt of a path's MTU.
  Result<> follow_mtu();
  /// Were there too many routes for one look?
  bool mtu_wants_more() const { return mtu_.wants_more(); }
  /// Was there a link of this index when links were looked at last?
  bool knows(unsigned ifindex) const { return links_.contains(ifindex); }
  /// "" or why some interface is not guarded.
  const std::string& alarm() const { return alarm_; }
  /// "" or that this host's own networks have addresses of the overlay's prefix.
  const std::string& networks_alarm() const { return networks_alarm_; }

 private:
  std::set<Address> reached() const;
  Result<> attach_underlay();
  void tell_networks();

  const NodeConfig& config_;
  Filter& filter_;
  Tunnel& tunnel_;
  Network& network_;
  OverlayMtu mtu_;
  std::set<unsigned> links_;
  std::string alarm_, networks_alarm_;
};

}  // namespace cordon::node
