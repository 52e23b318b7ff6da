#include "node/tunnel/device_tunnel.h"

#include <fmt/format.h>

#include <algorithm>

#include "node/tunnel/plan.h"

namespace cordon::node::wireguard {

Result<> DeviceTunnel::set_private_key(const WireguardKey& key) {
  auto written = device_->write({.private_key = key});
  if (!written) return std::unexpected(in_context(std::move(written).error(), "setting the WireGuard key"));
  return {};
}

Result<> DeviceTunnel::turn_private_key(const WireguardKey& key, const PresharedByPeer& preshared) {
  CORDON_ASSIGN(auto held, device_->read());
  auto written = device_->write(plan_turn(held.peers, key, preshared));
  if (!written)
    return std::unexpected(in_context(std::move(written).error(), "turning to another WireGuard key"));
  return {};
}

Result<> DeviceTunnel::set_peers(const std::vector<Peer>& wanted) {
  CORDON_ASSIGN(auto held, device_->read());
  WireguardKey parking;
  std::ranges::copy(random_bytes(parking.size()), parking.begin());
  CORDON_ASSIGN(auto changes, plan_peers(held.peers, wanted, parking));
  if (changes.empty()) return {};
  const std::size_t count = changes.size();
  auto written = device_->write({.peers = std::move(changes)});
  if (!written) {
    return std::unexpected(
        in_context(std::move(written).error(),
                   fmt::format("changing {} WireGuard peers of '{}'", count, config_.interface)));
  }
  return {};
}

Result<> DeviceTunnel::move_allowed_ips(const std::vector<Peer>& to) {
  DeviceChange change;
  for (const Peer& peer : to)
    change.peers.push_back({.public_key = peer.public_key,
                            .update_only = true,
                            .keepalive_s = peer.keepalive_s,
                            .add_allowed_ips = peer.allowed_ips});
  auto written = device_->write(change);
  if (!written) return std::unexpected(in_context(std::move(written).error(), "moving allowed-IPs"));
  return {};
}

Result<std::vector<PeerStatus>> DeviceTunnel::peers() const {
  CORDON_ASSIGN(auto held, device_->read());
  return to_status(held, system_clock().now());
}

Result<> DeviceTunnel::settle() {
  CORDON_ASSIGN(auto held, device_->read());
  DeviceChange change;
  if (held.listen_port != config_.listen_port && config_.listen_port != 0)
    change.listen_port = config_.listen_port;
  if (held.firewall_mark != config_.firewall_mark) change.firewall_mark = config_.firewall_mark;
  if (change.empty()) return {};
  auto written = device_->write(change);
  if (!written) {
    return std::unexpected(in_context(
        std::move(written).error(),
        fmt::format("setting UDP port {} of interface '{}'", config_.listen_port, config_.interface)));
  }
  return {};
}

}  // namespace cordon::node::wireguard
