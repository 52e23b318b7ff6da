#include "node/tunnel/tunnel.h"

#include <fmt/format.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/files.h"
#include "base/log.h"
#include "node/netlink/route_messages.h"
#include "node/netlink/socket.h"
#include "node/tunnel/choice.h"
#include "node/tunnel/device_tunnel.h"

namespace cordon::node {
namespace {

using netlink::Socket;
using wireguard::Choice;

Result<> check_config(const TunnelConfig& config) {
  const auto usable = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  if (config.interface.empty() || config.interface.size() >= IFNAMSIZ ||
      !std::ranges::all_of(config.interface, usable)) {
    return fail(ErrorCode::invalid, fmt::format("'{}' can't be an interface's name", config.interface),
                "1 to 15 letters, digits, '-' and '_'");
  }
  return {};
}

std::filesystem::path memory(const TunnelConfig& config) {
  return config.state_directory / "tunnel.backend";
}

std::optional<Backend> remembered(const TunnelConfig& config) {
  const auto text = read_file(memory(config), 64);
  if (!text) return std::nullopt;
  for (const Backend backend : {Backend::kernel, Backend::userspace}) {
    if (*text == fmt::format("{}\n", wireguard::to_string(backend))) return backend;
  }
  log::warning("node.tunnel", "{} holds no backend's name: passed over", memory(config).string());
  return std::nullopt;
}

Result<std::optional<Backend>> present(Socket& route, const std::string& interface) {
  auto replies = route.query(netlink::link_get(interface));
  if (!replies) {
    if (replies.error().number == ENODEV) return std::nullopt;
    return std::unexpected(to_error(replies.error(), fmt::format("asking for interface '{}'", interface)));
  }
  if (replies->empty()) return std::nullopt;
  CORDON_ASSIGN(auto link, netlink::parse_link(replies->front().payload));
  if (link.kind == "wireguard") return Backend::kernel;
  if (link.kind == "tun") return Backend::userspace;
  return fail(
      ErrorCode::conflict,
      fmt::format("interface '{}' exists already and is no tunnel of ours (kind '{}')", interface, link.kind),
      "remove it, or choose another 'interface' under [tunnel]");
}

/// By making an interface: nothing less shows that the kernel can. False: it has no such kind.
Result<bool> make_in_kernel(Socket& route, const std::string& interface) {
  auto made = route.query(netlink::link_create(interface, "wireguard"));
  if (made) return true;
  if (made.error().number == EOPNOTSUPP) return false;
  return std::unexpected(
      to_error(made.error(), fmt::format("making the WireGuard interface '{}'", interface)));
}

/// While userspace still carries the tunnel: with an interface that goes at once.
Result<bool> try_kernel(Socket& route) {
  const std::string probe = fmt::format("cdnprobe{}", getpid() % 1'000'000);
  CORDON_ASSIGN(const bool works, make_in_kernel(route, probe));
  if (works) CORDON_TRY(wireguard::remove_link(probe));
  return works;
}

Result<Backend> choose_backend(Socket& route, const TunnelConfig& config,
                               const std::optional<Backend>& carries) {
  const Choice choice{.wanted = config.backend,
                      .remembered = remembered(config),
                      .present = carries,
                      .allow_fallback = config.allow_fallback};
  return wireguard::choose(
      choice, [&] { return carries ? try_kernel(route) : make_in_kernel(route, config.interface); });
}

/// The backend that carried the tunnel gives the interface's name free.
Result<> leave(Backend backend, const TunnelConfig& config) {
  if (backend == Backend::kernel) return wireguard::remove_link(config.interface);
  CORDON_ASSIGN(auto old, wireguard::open_userspace_tunnel(config));
  return old->remove();
}

Result<std::unique_ptr<Tunnel>> open_checked(const TunnelConfig& config) {
  CORDON_ASSIGN(auto route, Socket::open(NETLINK_ROUTE));
  CORDON_ASSIGN(const auto carries, present(route, config.interface));
  CORDON_ASSIGN(const Backend backend, choose_backend(route, config, carries));
  if (carries && *carries != backend) CORDON_TRY(leave(*carries, config));
  std::unique_ptr<Tunnel> tunnel;
  if (backend == Backend::kernel) {
    CORDON_ASSIGN(tunnel, wireguard::open_kernel_tunnel(config));
  } else {
    CORDON_ASSIGN(tunnel, wireguard::open_userspace_tunnel(config));
  }
  if (remembered(config) != backend) {
    CORDON_TRY(write_file(memory(config), fmt::format("{}\n", wireguard::to_string(backend)), 0644));
    log::info("node.tunnel", "'{}' is carried by the {} backend", config.interface,
              wireguard::to_string(backend));
  }
  return tunnel;
}

}  // namespace

Result<std::unique_ptr<Tunnel>> open_tunnel(const TunnelConfig& config) {
  CORDON_TRY(check_config(config));
  auto tunnel = open_checked(config);
  if (!tunnel) {
    return std::unexpected(
        in_context(std::move(tunnel).error(), fmt::format("opening tunnel '{}'", config.interface)));
  }
  return tunnel;
}

}  // namespace cordon::node
