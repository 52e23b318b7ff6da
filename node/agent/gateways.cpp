#include "node/agent/gateways.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/files.h"

namespace cordon::node {
namespace {

bool lies_in(const Prefix& inner, const Prefix& outer) {
  return outer.bits <= inner.bits && outer.contains(inner.address);
}

bool meet(const Prefix& a, const Prefix& b) {
  return a.contains(b.address) || b.contains(a.address);
}

bool lies_in_one_of(const Prefix& inner, const std::vector<Prefix>& all) {
  return std::ranges::any_of(all, [&](const Prefix& outer) { return lies_in(inner, outer); });
}

/// What of this host the subnet would take away; "": nothing.
std::string taken_by(const Prefix& subnet, const Surroundings& host) {
  for (const Endpoint& controller : host.controllers)
    if (subnet.contains(controller.address))
      return fmt::format("the controller {}", controller.address.to_string());
  for (const Prefix& network : host.networks)
    if (meet(subnet, network)) return fmt::format("this host's own {}", network.to_string());
  for (const Prefix& declared : host.declared)
    if (meet(subnet, declared)) return fmt::format("{}, which is behind this host", declared.to_string());
  return {};
}

/// The host's own address, and those by which the kernel takes packets for its network: of IPv4 the first and
/// the last, of IPv6 the first (RFC 4291, 2.6.1).
void add_own_places(std::vector<Prefix>& out, const Prefix& network) {
  constexpr unsigned kLongestNetwork = 126;  // of 127 bits and more each address is a host's
  out.push_back(Prefix::host(network.address));
  if (network.bits > kLongestNetwork) return;
  Address last = network.address;
  for (unsigned bit = network.bits; bit < 128; ++bit)
    last.bytes[bit / 8] |= static_cast<std::uint8_t>(0x80 >> bit % 8);
  out.push_back(Prefix::host(Prefix::of(network.address, network.length()).address));
  if (network.address.is_v4()) out.push_back(Prefix::host(last));
}

std::vector<Prefix> sorted(std::vector<Prefix> prefixes) {
  std::ranges::sort(prefixes);
  const auto same = std::ranges::unique(prefixes);
  prefixes.erase(same.begin(), same.end());
  return prefixes;
}

}  // namespace

bool has_gateways(const Overlay& overlay) {
  return std::ranges::any_of(overlay.peers, [&](const auto& peer) {
    return std::ranges::any_of(peer.second.allowed_ips,
                               [&](const Prefix& prefix) { return !is_overlays(overlay, prefix); });
  });
}

Gateways gateways_of(const Overlay& overlay, const Surroundings& host) {
  Gateways out;
  std::map<Prefix, DeviceId> reached;
  if (overlay.settings)
    for (const auto& [device, peer] : overlay.peers)
      for (const Prefix& prefix : peer.allowed_ips)
        if (!is_overlays(overlay, prefix)) reached.emplace(prefix, device);
  for (const auto& [subnet, device] : reached) {
    const std::string taken = taken_by(subnet, host);
    if (taken.empty()) {
      out.subnets.routed.push_back(subnet);
      // The peer says where it is: its word takes nobody's subnet out of the overlay.
      for (const Endpoint& peer : host.peers)
        if (subnet.contains(peer.address))
          out.alarms.push_back(
              fmt::format("the peer at {} can't be reached: that address is behind gateway \"{}\" ({}); give "
                          "the peer another, or name the subnet more narrowly",
                          peer.to_string(), device.value, subnet.to_string()));
    } else {
      out.alarms.push_back(
          fmt::format("{} behind gateway \"{}\" is not routed: it holds {}; give one of them "
                      "other addresses, or name the subnet more narrowly",
                      subnet.to_string(), device.value, taken));
    }
  }
  for (const Prefix& target : overlay.away) {
    if (lies_in_one_of(target, host.declared)) continue;
    if (std::ranges::any_of(reached, [&](const auto& way) { return lies_in(target, way.first); })) continue;
    out.alarms.push_back(
        fmt::format("{} is to be behind this host, which is no gateway for it; if it shall be one, add it to "
                    "subnets of [gateway] in node.toml and restart the node",
                    target.to_string()));
  }
  out.subnets.behind = sorted(host.declared);
  for (const Prefix& network : host.networks)
    if (lies_in_one_of(Prefix::host(network.address), host.declared))
      add_own_places(out.subnets.own, network);
  out.subnets.own = sorted(std::move(out.subnets.own));
  return out;
}

std::vector<std::string> forwarding_problems(const std::vector<Prefix>& declared,
                                             const std::string& interface,
                                             const std::filesystem::path& sysctls) {
  constexpr std::size_t kMostBytes = 64;
  std::vector<std::string> out;
  const auto forwards = [&](const std::filesystem::path& file) {
    const auto text = read_file(sysctls / file, kMostBytes);
    return text && !text->starts_with("0");
  };
  const auto alarm = [&](std::string_view family, std::string_view sysctl) {
    out.push_back(
        fmt::format("the kernel of this gateway forwards no {}; run: sysctl -w {}=1, and write it to "
                    "/etc/sysctl.d",
                    family, sysctl));
  };
  const auto any = [&](bool v4) {
    return std::ranges::any_of(declared, [&](const Prefix& p) { return p.address.is_v4() == v4; });
  };
  // IPv4 asks the interface that a packet came by (which begins with the default), IPv6 all of them at once.
  const std::filesystem::path ours = std::filesystem::path("ipv4/conf") / interface / "forwarding";
  const bool there = std::filesystem::exists(sysctls / ours);
  if (any(true) && !forwards(there ? ours : "ipv4/conf/default/forwarding"))
    alarm("IPv4", "net.ipv4.ip_forward");
  if (any(false) && !forwards("ipv6/conf/all/forwarding")) alarm("IPv6", "net.ipv6.conf.all.forwarding");
  return out;
}

}  // namespace cordon::node
