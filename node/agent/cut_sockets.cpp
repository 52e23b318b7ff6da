#include "node/agent/cut_sockets.h"

#include <algorithm>

#include "policy/compile.h"

namespace cordon::node {
namespace {

using policy::Direction;

bool in_overlay(const policy::SettingsValue& settings, const Address& address) {
  const auto holds = [&](const Prefix& prefix) {
    return !prefix.address.is_unspecified() && prefix.contains(address);
  };
  return holds(settings.overlay_v4) || holds(settings.overlay_v6);
}

/// Either end may have begun it: nobody says which.
bool flow_is_allowed(const HostSocket& socket, const policy::NodeState& state, Timestamp now) {
  return policy::look_up(state, Direction::egress, socket.local.address, socket.remote.address,
                         socket.protocol, socket.remote.port, now)
             .passes ||
         policy::look_up(state, Direction::ingress, socket.remote.address, socket.local.address,
                         socket.protocol, socket.local.port, now)
             .passes;
}

/// The addresses that this host has in the overlay.
std::set<Address> own_addresses(const policy::NodeState& state) {
  std::set<Address> out{state.settings()->v4, state.settings()->v6};
  for (auto it = state.entries.lower_bound(policy::LocalSessionKey{}); it != state.entries.end(); ++it)
    if (const auto* session = std::get_if<policy::LocalSessionValue>(&it->second))
      out.insert({session->v4, session->v6});
  return out;
}

bool stays_here(const HostSocket& socket) {
  const Address& to = socket.remote.address;
  return to == socket.local.address || (to.is_v4() && to.bytes[12] == 127);
}

/// As ebpf/contain.bpf.h passes it.
bool is_dhcp(const HostSocket& socket) {
  const std::pair ports{socket.local.port, socket.remote.port};
  return socket.protocol == policy::kUdp && (ports == std::pair<std::uint16_t, std::uint16_t>{68, 67} ||
                                             ports == std::pair<std::uint16_t, std::uint16_t>{546, 547});
}

}  // namespace

std::set<Endpoint> own_ends(std::span<const HostSocket> sockets) {
  std::set<Endpoint> out;
  for (const HostSocket& socket : sockets) out.insert(socket.local);
  return out;
}

std::vector<HostSocket> cut_sockets(std::span<const HostSocket> sockets, const std::set<Endpoint>& here,
                                    const policy::NodeState& state, Timestamp now,
                                    const std::vector<Endpoint>& controllers) {
  std::vector<HostSocket> out;
  const policy::SettingsValue* settings = state.settings();
  if (settings == nullptr) return out;
  const std::set<Address> held = own_addresses(state);
  const auto is_cut = [&](const HostSocket& socket) {
    // Left behind by a session that ended.
    if (in_overlay(*settings, socket.local.address) && !held.contains(socket.local.address)) return true;
    if (here.contains(socket.remote)) return false;  // its other end is one of these
    if (in_overlay(*settings, socket.local.address) || in_overlay(*settings, socket.remote.address))
      return (settings->isolated || socket.protocol == policy::kTcp) && !flow_is_allowed(socket, state, now);
    if (!settings->isolated || stays_here(socket) || is_dhcp(socket)) return false;
    return socket.protocol != policy::kTcp ||
           std::ranges::find(controllers, socket.remote) == controllers.end();
  };
  std::ranges::copy_if(sockets, std::back_inserter(out), is_cut);
  return out;
}

}  // namespace cordon::node
