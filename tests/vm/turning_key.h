#pragma once
// A WireGuard key that turns, and a preshared key, under a TCP stream (DATAPATH.md, "WireGuard keys"): our
// netlink code and the kernel's WireGuard, without controller and agents.

#include <functional>
#include <string_view>

#include "node/tunnel/tunnel.h"
#include "tests/support/network_namespace.h"

namespace cordon::node {

struct TunnelEnd {
  const TestNamespace& space;
  Tunnel& tunnel;
  Peer as_peer;  ///< as the other end holds it
};
using Report = std::function<void(bool good, std::string_view what)>;

/// `there` turns to `next` while `here` streams to it and back; afterwards both hold each other without a
/// preshared key, and `there` is known by the new one.
void turn_key_under_stream(const TunnelEnd& here, const TunnelEnd& there, const WireguardKey& next,
                           const Report& report);

}  // namespace cordon::node
