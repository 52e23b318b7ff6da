#include "node/agent/mtu.h"

#include <algorithm>
#include <optional>

namespace cordon::node {
namespace {

constexpr std::uint32_t kTunnelBytes = 80;
constexpr std::uint32_t kLeastOverlayMtu = 1280;
constexpr std::uint32_t kUsualUnderlayMtu = 1500;
constexpr std::size_t kMostRoutes = 64;  // each is a question to the kernel

}  // namespace

std::uint32_t overlay_mtu(const Network& network, const std::set<Address>& reached) {
  std::optional<std::uint32_t> least;
  std::size_t asked = 0;
  for (const Address& address : reached) {
    if (asked++ == kMostRoutes) break;
    const auto mtu = network.route_mtu(address);
    if (mtu && *mtu != 0) least = std::min(least.value_or(*mtu), *mtu);
  }
  const std::uint32_t underlay = least.value_or(kUsualUnderlayMtu);
  return std::max(kLeastOverlayMtu, underlay > kTunnelBytes ? underlay - kTunnelBytes : 0);
}

}  // namespace cordon::node
