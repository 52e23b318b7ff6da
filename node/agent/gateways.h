#pragma once
// Subnets behind gateways, by what a state says and what this host is: which of them are routed into the
// overlay, which are behind this host, and what is not as it should be (docs/DATAPATH.md, "Gateways").

#include <string>
#include <vector>

#include "base/address.h"
#include "node/agent/overlay.h"
#include "node/filter/filter.h"

namespace cordon::node {

/// What of this host the overlay may not take away (I9), and what its administrator declared.
struct Surroundings {
  std::vector<Prefix> declared;       ///< node.toml's [gateway] subnets
  std::vector<Prefix> networks;       ///< its own addresses, each with the length of its network
  std::vector<Endpoint> controllers;  ///< all that it may look for
  std::vector<Endpoint> peers;        ///< where the tunnel reaches its peers
};

struct Gateways {
  Subnets subnets;
  std::vector<std::string> alarms;  ///< what is left out, and the mend
  bool operator==(const Gateways&) const = default;
};

/// A subnet that holds a controller, or some of this host's own or declared networks, is not routed; one that
/// holds a place where a peer is reached is, without that peer; a target that nothing leads to is left alone.
/// Each is an alarm.
Gateways gateways_of(const Overlay& overlay, const Surroundings& host);

/// Is some peer a gateway? Only then is it asked where peers are reached.
bool has_gateways(const Overlay& overlay);

/// What is wrong with how the kernel forwards for a gateway of `declared` between its overlay interface and
/// the rest, each with its mend; `sysctls` is /proc/sys/net.
std::vector<std::string> forwarding_problems(const std::vector<Prefix>& declared,
                                             const std::string& interface,
                                             const std::filesystem::path& sysctls = "/proc/sys/net");

}  // namespace cordon::node
