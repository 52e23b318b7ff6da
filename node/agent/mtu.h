#pragma once
// The tunnel's MTU: what every underlay route that it uses takes whole.

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>

#include "base/address.h"
#include "node/netlink/network.h"

namespace cordon::node {

class OverlayMtu {
 public:
  /// Each is a question to the kernel, of some 30 us.
  static constexpr std::size_t kRoutesALook = 256;

  /// The least MTU of the routes to `reached` (those that lead nowhere are passed over), less the 80 bytes of
  /// an outer IPv6 and UDP header and WireGuard's own; at least 1280, which IPv6 needs (RFC 8200, 5). 1420
  /// while no route is known. A look asks for 256 routes, the next for those behind them, and so on around;
  /// of the rest counts what was found at the last turn.
  std::uint32_t look(const Network& network, const std::set<Address>& reached);
  /// Is one look too short for all of them?
  bool wants_more() const { return more_; }

 private:
  std::map<Address, std::uint32_t> known_;  ///< 0: leads nowhere
  Address last_;                            ///< asked last
  bool more_ = false;
};

}  // namespace cordon::node
