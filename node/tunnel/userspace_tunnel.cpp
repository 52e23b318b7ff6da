// A supervised wireguard-go.

#include <fmt/format.h>
#include <net/if.h>

#include "base/log.h"
#include "node/tunnel/device_tunnel.h"
#include "node/tunnel/uapi_device.h"
#include "node/tunnel/wireguard_go.h"

namespace cordon::node::wireguard {
namespace {

class UserspaceTunnel final : public DeviceTunnel {
 public:
  explicit UserspaceTunnel(const TunnelConfig& config)
      : DeviceTunnel(config),
        process_({.program = config.wireguard_go,
                  .interface = config.interface,
                  .run_directory = config.run_directory}) {}

  Backend backend() const override { return Backend::userspace; }

  Result<> open() {
    CORDON_TRY(process_.ensure());
    ifindex_ = if_nametoindex(config_.interface.c_str());
    if (ifindex_ == 0) {
      return fail(ErrorCode::unavailable, fmt::format("interface '{}' went away at once", config_.interface));
    }
    device_ = std::make_unique<UapiDevice>(process_.socket());
    return settle();
  }

  Result<bool> supervise() override {
    if (if_nametoindex(config_.interface.c_str()) == ifindex_ && process_.alive()) return false;
    log::warning("node.tunnel", "wireguard-go for '{}' is gone: starting it again", config_.interface);
    CORDON_TRY(open());
    return true;
  }

  Result<> remove() override {
    CORDON_TRY(process_.stop());
    return remove_link(config_.interface);
  }

 private:
  WireguardGo process_;
};

}  // namespace

Result<std::unique_ptr<Tunnel>> open_userspace_tunnel(const TunnelConfig& config) {
  auto tunnel = std::make_unique<UserspaceTunnel>(config);
  CORDON_TRY(tunnel->open());
  return tunnel;
}

}  // namespace cordon::node::wireguard
