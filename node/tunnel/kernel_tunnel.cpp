// The kernel's WireGuard: the link by rtnetlink, the rest by generic netlink.

#include <fmt/format.h>
#include <linux/netlink.h>
#include <linux/wireguard.h>
#include <net/if.h>

#include <cerrno>

#include "node/netlink/generic.h"
#include "node/netlink/route_messages.h"
#include "node/netlink/socket.h"
#include "node/tunnel/device_tunnel.h"
#include "node/tunnel/netlink_messages.h"

namespace cordon::node::wireguard {
namespace {

using netlink::Socket;

class NetlinkDevice final : public Device {
 public:
  NetlinkDevice(Socket socket, std::uint16_t family, unsigned ifindex)
      : socket_(std::move(socket)), family_(family), ifindex_(ifindex) {}

  Result<DeviceState> read() override {
    auto replies = socket_.query(netlink_get(family_, ifindex_));
    if (!replies) return std::unexpected(to_error(replies.error(), "reading the WireGuard interface"));
    DeviceState state;
    for (const auto& reply : *replies) CORDON_TRY(merge_netlink_get(state, reply.payload));
    return state;
  }

  Result<> write(const DeviceChange& change) override {
    auto messages = netlink_set(family_, ifindex_, change);
    Result<> result;
    for (auto& message : messages) {
      if (result) {
        auto replies = socket_.query(message);
        if (!replies) result = std::unexpected(to_error(replies.error(), "writing the WireGuard interface"));
      }
      message.wipe();
    }
    return result;
  }

 private:
  Socket socket_;
  std::uint16_t family_;
  unsigned ifindex_;
};

class KernelTunnel final : public DeviceTunnel {
 public:
  explicit KernelTunnel(const TunnelConfig& config) : DeviceTunnel(config) {}

  Backend backend() const override { return Backend::kernel; }

  Result<> open() {
    CORDON_ASSIGN(auto route, Socket::open(NETLINK_ROUTE));
    ifindex_ = if_nametoindex(config_.interface.c_str());
    if (ifindex_ == 0) {
      auto made = route.query(netlink::link_create(config_.interface, "wireguard"));
      if (!made && made.error().number != EEXIST) {
        return std::unexpected(
            to_error(made.error(), fmt::format("making the WireGuard interface '{}'", config_.interface)));
      }
      ifindex_ = if_nametoindex(config_.interface.c_str());
      if (ifindex_ == 0) {
        return fail(ErrorCode::unavailable,
                    fmt::format("interface '{}' went away at once", config_.interface));
      }
    }
    CORDON_ASSIGN(auto generic, Socket::open(NETLINK_GENERIC));
    CORDON_ASSIGN(const auto family, netlink::find_family(generic, WG_GENL_NAME));
    device_ = std::make_unique<NetlinkDevice>(std::move(generic), family, ifindex_);
    return settle();
  }

  Result<bool> supervise() override {
    if (if_nametoindex(config_.interface.c_str()) == ifindex_) return false;
    CORDON_TRY(open());
    return true;
  }

  Result<> remove() override { return remove_link(config_.interface); }
};

}  // namespace

Result<std::unique_ptr<Tunnel>> open_kernel_tunnel(const TunnelConfig& config) {
  auto tunnel = std::make_unique<KernelTunnel>(config);
  CORDON_TRY(tunnel->open());
  return tunnel;
}

Result<> remove_link(std::string_view name) {
  const unsigned ifindex = if_nametoindex(std::string(name).c_str());
  if (ifindex == 0) return {};
  CORDON_ASSIGN(auto route, Socket::open(NETLINK_ROUTE));
  auto gone = route.query(netlink::link_delete(ifindex));
  if (!gone && gone.error().number != ENODEV) {
    return std::unexpected(to_error(gone.error(), fmt::format("removing interface '{}'", name)));
  }
  return {};
}

}  // namespace cordon::node::wireguard
