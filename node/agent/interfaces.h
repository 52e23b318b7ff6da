#pragma once
// Keeps the programs on the right interfaces and the tunnel's MTU right, as links and routes come and go.

#include <string>
#include <vector>

#include "base/result.h"
#include "node/agent/config.h"
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
  /// After links, addresses or routes changed: underlay and MTU. A guard that can't be attached is an alarm,
  /// not an error: the rest goes on, and `refresh` is to be called again.
  Result<> refresh();
  /// "" or why some interface is not guarded.
  const std::string& alarm() const { return alarm_; }

 private:
  std::uint32_t tunnel_mtu() const;
  Result<> attach_underlay();

  const NodeConfig& config_;
  Filter& filter_;
  Tunnel& tunnel_;
  Network& network_;
  std::string alarm_;
};

}  // namespace cordon::node
