#include "node/agent/interfaces.h"

#include <algorithm>

#include "base/log.h"

namespace cordon::node {
namespace {

constexpr std::uint32_t kWireguardBytes = 80;  ///< outer IPv6, UDP and WireGuard's own header and tag
constexpr std::uint32_t kLeastMtu = 1280;      ///< IPv6 needs it (RFC 8200, 5)
constexpr std::uint32_t kUsualMtu = 1500;      ///< while no route is known

}  // namespace

Result<> Interfaces::set_up() {
  auto attached = filter_.attach_overlay(tunnel_.ifindex());
  if (!attached)
    return std::unexpected(in_context(attached.error(), "attaching the filter to " + config_.interface));
  return refresh();
}

Result<> Interfaces::refresh() {
  const auto attached = attach_underlay();
  std::string alarm = attached ? "" : "underlay guard: " + attached.error().message();
  if (!alarm.empty() && alarm != alarm_) log::error("node.agent", "{}", alarm);
  alarm_ = std::move(alarm);
  auto up = network_.set_up(tunnel_.ifindex(), tunnel_mtu());
  if (!up) return std::unexpected(in_context(up.error(), "setting up " + config_.interface));
  return {};
}

std::uint32_t Interfaces::tunnel_mtu() const {
  std::uint32_t least = kUsualMtu;
  bool known = false;
  for (const Endpoint& controller : config_.controllers) {
    const auto mtu = network_.route_mtu(controller.address);
    if (!mtu || *mtu == 0) continue;
    least = known ? std::min(least, *mtu) : *mtu;
    known = true;
  }
  return std::max(kLeastMtu, least > kWireguardBytes ? least - kWireguardBytes : 0);
}

Result<> Interfaces::attach_underlay() {
  CORDON_ASSIGN(const auto links, network_.links());
  std::vector<unsigned> indexes;
  for (const Link& link : links) {
    if (link.loopback || link.index == tunnel_.ifindex()) continue;
    const auto& named = config_.underlay_interfaces;
    if (named.empty() || std::ranges::find(named, link.name) != named.end()) indexes.push_back(link.index);
  }
  return filter_.attach_underlay(indexes);
}

}  // namespace cordon::node
