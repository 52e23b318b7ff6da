#include "node/agent/overlay.h"

#include <algorithm>

namespace cordon::node {
namespace {

void add_address(std::vector<OwnAddress>& out, const Address& address, bool deprecated) {
  if (!address.is_unspecified() && address != Address{})
    out.push_back({.prefix = Prefix::host(address), .deprecated = deprecated});
}

}  // namespace

bool is_overlays(const Overlay& overlay, const Prefix& prefix) {
  const auto holds = [&](const Prefix& own) {
    return !own.address.is_unspecified() && own.bits <= prefix.bits && own.contains(prefix.address);
  };
  return overlay.settings && (holds(overlay.settings->overlay_v4) || holds(overlay.settings->overlay_v6));
}

Overlay overlay_of(const policy::NodeState& state) {
  Overlay overlay;
  if (const auto* settings = state.settings()) overlay.settings = *settings;
  // In the order of keys, with nearly all entries between them.
  const auto& entries = state.entries;
  for (auto at = entries.lower_bound(policy::PeerKey{}); at != entries.end(); ++at) {
    const auto* peer = std::get_if<policy::PeerKey>(&at->first);
    if (peer == nullptr) break;
    overlay.peers.emplace(peer->device, std::get<policy::PeerValue>(at->second));
  }
  for (auto at = entries.lower_bound(policy::TargetKey{}); at != entries.end(); ++at) {
    const auto* target = std::get_if<policy::TargetKey>(&at->first);
    if (target == nullptr) break;
    if (!is_overlays(overlay, target->prefix)) overlay.away.insert(target->prefix);
  }
  for (auto at = entries.lower_bound(policy::LocalSessionKey{}); at != entries.end(); ++at)
    overlay.sessions.emplace(std::get<policy::LocalSessionKey>(at->first).session,
                             std::get<policy::LocalSessionValue>(at->second));
  return overlay;
}

void apply(Overlay& overlay, const std::vector<policy::Change>& changes) {
  for (const policy::Change& change : changes) {
    if (const auto* peer = std::get_if<policy::PeerKey>(&change.key)) {
      if (change.value)
        overlay.peers.insert_or_assign(peer->device, std::get<policy::PeerValue>(*change.value));
      else
        overlay.peers.erase(peer->device);
    } else if (const auto* session = std::get_if<policy::LocalSessionKey>(&change.key)) {
      if (change.value)
        overlay.sessions.insert_or_assign(session->session,
                                          std::get<policy::LocalSessionValue>(*change.value));
      else
        overlay.sessions.erase(session->session);
    } else if (const auto* target = std::get_if<policy::TargetKey>(&change.key)) {
      if (!change.value)
        overlay.away.erase(target->prefix);
      else if (!is_overlays(overlay, target->prefix))
        overlay.away.insert(target->prefix);
    } else if (std::holds_alternative<policy::SettingsKey>(change.key) && change.value) {
      overlay.settings = std::get<policy::SettingsValue>(*change.value);
    }
  }
}

std::vector<OwnAddress> overlay_addresses(const Overlay& overlay) {
  std::vector<OwnAddress> out;
  if (!overlay.settings) return out;
  add_address(out, overlay.settings->v4, false);
  add_address(out, overlay.settings->v6, false);
  for (const auto& [id, session] : overlay.sessions) {
    add_address(out, session.v4, true);
    add_address(out, session.v6, true);
  }
  std::ranges::sort(out);
  return out;
}

std::vector<Route> overlay_routes(const Overlay& overlay, const std::vector<Prefix>& routed) {
  std::vector<Route> out;
  if (!overlay.settings) return out;
  const auto add = [&out](const Prefix& to, const Address& source) {
    if (!to.address.is_unspecified() && !source.is_unspecified())
      out.push_back({.destination = to, .source = source});
  };
  add(overlay.settings->overlay_v4, overlay.settings->v4);
  add(overlay.settings->overlay_v6, overlay.settings->v6);
  for (const Prefix& subnet : routed)
    add(subnet, subnet.address.is_v4() ? overlay.settings->v4 : overlay.settings->v6);
  return out;
}

PeopleRouting people_routing(const Overlay& overlay, const std::vector<Prefix>& routed,
                             const std::vector<UidRange>& people) {
  if (!overlay.settings) return {};
  PeopleRouting out{.overlay_v4 = overlay.settings->overlay_v4,
                    .overlay_v6 = overlay.settings->overlay_v6,
                    .behind = routed,
                    .people = people,
                    .sessions = {}};
  std::map<std::uint32_t, SessionRoute> by_uid;  // one each, whatever a state says
  for (const auto& [id, session] : overlay.sessions)
    if (is_among(people, session.uid))
      by_uid[session.uid] = {.uid = session.uid, .v4 = session.v4, .v6 = session.v6};
  for (const auto& [uid, route] : by_uid) out.sessions.push_back(route);
  return out;
}

}  // namespace cordon::node
