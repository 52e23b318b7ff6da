#pragma once
// What the two backends share: keys, peers and their state go through a Device.

#include <memory>

#include "node/tunnel/wireguard.h"

namespace cordon::node::wireguard {

class DeviceTunnel : public Tunnel {
 public:
  unsigned ifindex() const override { return ifindex_; }
  Result<> set_private_key(const WireguardKey& key) override;
  Result<> turn_private_key(const WireguardKey& key, const PresharedByPeer& preshared) override;
  Result<> set_peers(const std::vector<Peer>& wanted) override;
  Result<> move_allowed_ips(const std::vector<Peer>& to) override;
  Result<std::vector<PeerStatus>> peers() const override;

 protected:
  explicit DeviceTunnel(TunnelConfig config) : config_(std::move(config)) {}
  /// Listen port and firewall mark, written only when they differ.
  Result<> settle();

  TunnelConfig config_;
  std::unique_ptr<Device> device_;
  unsigned ifindex_ = 0;
};

Result<std::unique_ptr<Tunnel>> open_kernel_tunnel(const TunnelConfig& config);
Result<std::unique_ptr<Tunnel>> open_userspace_tunnel(const TunnelConfig& config);

/// Takes an interface away; nothing when there is none.
Result<> remove_link(std::string_view name);

}  // namespace cordon::node::wireguard
