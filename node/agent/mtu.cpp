#include "node/agent/mtu.h"

#include <algorithm>

namespace cordon::node {
namespace {

constexpr std::uint32_t kTunnelBytes = 80;
constexpr std::uint32_t kLeastOverlayMtu = 1280;
constexpr std::uint32_t kUsualUnderlayMtu = 1500;

}  // namespace

std::uint32_t OverlayMtu::look(const Network& network, const std::set<Address>& reached) {
  std::erase_if(known_, [&](const auto& entry) { return !reached.contains(entry.first); });
  auto next = reached.upper_bound(last_);
  for (std::size_t left = std::min(kRoutesALook, reached.size()); left != 0; --left, ++next) {
    if (next == reached.end()) next = reached.begin();
    known_[*next] = network.route_mtu(*next).value_or(0);
    last_ = *next;
  }
  more_ = reached.size() > kRoutesALook;
  std::uint32_t underlay = 0;
  for (const auto& [address, mtu] : known_)
    if (mtu != 0 && (underlay == 0 || mtu < underlay)) underlay = mtu;
  if (underlay == 0) underlay = kUsualUnderlayMtu;
  return std::max(kLeastOverlayMtu, underlay > kTunnelBytes ? underlay - kTunnelBytes : 0);
}

}  // namespace cordon::node
