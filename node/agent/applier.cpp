#include "node/agent/applier.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/log.h"

namespace cordon::node {
namespace {

constexpr std::string_view kApplierArea = "node.agent";

/// Peers of both states. An allowed-IP that moves belongs to its new peer at once: it can only have one.
std::map<DeviceId, policy::PeerValue> both(const std::map<DeviceId, policy::PeerValue>& before,
                                           const std::map<DeviceId, policy::PeerValue>& after) {
  std::set<Prefix> taken;
  for (const auto& [device, peer] : after) taken.insert(peer.allowed_ips.begin(), peer.allowed_ips.end());
  auto out = after;
  for (const auto& [device, peer] : before) {
    auto& merged = out.try_emplace(device, policy::PeerValue{.public_key = peer.public_key,
                                                             .allowed_ips = {},
                                                             .next_key = peer.next_key})
                       .first->second;
    for (const Prefix& prefix : peer.allowed_ips)
      if (!taken.contains(prefix)) merged.allowed_ips.push_back(prefix);
    std::ranges::sort(merged.allowed_ips);
  }
  return out;
}

void add_address(std::vector<OwnAddress>& out, const Address& address, bool deprecated) {
  if (!address.is_unspecified() && address != Address{})
    out.push_back({.prefix = Prefix::host(address), .deprecated = deprecated});
}

/// Every address of either list; where both have one, as in `after`.
std::vector<OwnAddress> both(std::vector<OwnAddress> before, std::vector<OwnAddress> after) {
  for (const OwnAddress& address : before)
    if (std::ranges::none_of(after, [&](const auto& a) { return a.prefix == address.prefix; }))
      after.push_back(address);
  std::ranges::sort(after);
  return after;
}

template <class T>
void note(const Result<T>& result, std::string_view what) {
  if (!result) log::error(kApplierArea, "{}: {}", what, result.error().message());
}

}  // namespace

Overlay overlay_of(const policy::NodeState& state) {
  Overlay overlay;
  // In the order of keys, with nearly all entries between them.
  const auto& entries = state.entries;
  for (auto at = entries.lower_bound(policy::PeerKey{}); at != entries.end(); ++at) {
    const auto* peer = std::get_if<policy::PeerKey>(&at->first);
    if (peer == nullptr) break;
    overlay.peers.emplace(peer->device, std::get<policy::PeerValue>(at->second));
  }
  for (auto at = entries.lower_bound(policy::LocalSessionKey{}); at != entries.end(); ++at)
    overlay.sessions.emplace(std::get<policy::LocalSessionKey>(at->first).session,
                             std::get<policy::LocalSessionValue>(at->second));
  if (const auto* settings = state.settings()) overlay.settings = *settings;
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

std::vector<Route> overlay_routes(const Overlay& overlay) {
  std::vector<Route> out;
  if (!overlay.settings) return out;
  const auto add = [&out](const Prefix& to, const Address& source) {
    if (!to.address.is_unspecified() && !source.is_unspecified())
      out.push_back({.destination = to, .source = source});
  };
  add(overlay.settings->overlay_v4, overlay.settings->v4);
  add(overlay.settings->overlay_v6, overlay.settings->v6);
  return out;
}

PeopleRouting people_routing(const Overlay& overlay, const std::vector<UidRange>& people) {
  if (!overlay.settings) return {};
  PeopleRouting out{.overlay_v4 = overlay.settings->overlay_v4,
                    .overlay_v6 = overlay.settings->overlay_v6,
                    .people = people,
                    .sessions = {}};
  std::map<std::uint32_t, SessionRoute> by_uid;  // one each, whatever a state says
  for (const auto& [id, session] : overlay.sessions)
    if (is_among(people, session.uid))
      by_uid[session.uid] = {.uid = session.uid, .v4 = session.v4, .v6 = session.v6};
  for (const auto& [uid, route] : by_uid) out.sessions.push_back(route);
  return out;
}

Result<> Applier::prepare(const Overlay& after, bool all) {
  if (auto peers = both(current_.peers, after.peers); all || peers != current_.peers) {
    auto set = set_peers(peers);
    if (!set) return std::unexpected(in_context(set.error(), "adding tunnel peers"));
  }
  const auto held = overlay_addresses(current_);
  if (auto addresses = both(held, overlay_addresses(after)); all || addresses != held) {
    auto set = network_.set_addresses(tunnel_.ifindex(), addresses);
    if (!set) return std::unexpected(in_context(set.error(), "adding overlay addresses"));
  }
  return {};
}

Result<> Applier::finish(const Overlay& after, bool all) {
  // Before the device's own routes: at no time may a person take those.
  if (auto people = people_routing(after, people_); all || people != people_routing(current_, people_)) {
    auto set = network_.set_people(tunnel_.ifindex(), people);
    if (!set) return std::unexpected(in_context(set.error(), "setting the sessions' routes"));
  }
  if (auto routes = overlay_routes(after); all || routes != overlay_routes(current_)) {
    auto set = network_.set_routes(tunnel_.ifindex(), routes);
    if (!set) return std::unexpected(in_context(set.error(), "setting overlay routes"));
  }
  const auto addresses = overlay_addresses(after);
  if (both(overlay_addresses(current_), addresses) != addresses) {
    auto set = network_.set_addresses(tunnel_.ifindex(), addresses);
    if (!set) return std::unexpected(in_context(set.error(), "removing overlay addresses"));
  }
  if (both(current_.peers, after.peers) != after.peers) {
    auto set = set_peers(after.peers);
    if (!set) return std::unexpected(in_context(set.error(), "removing tunnel peers"));
  }
  return {};
}

void Applier::back_to_current() {
  if (!current_known_) return;
  note(set_peers(current_.peers), "putting the tunnel's peers back");
  note(network_.set_addresses(tunnel_.ifindex(), overlay_addresses(current_)), "putting the addresses back");
  note(network_.set_people(tunnel_.ifindex(), people_routing(current_, people_)),
       "putting the sessions' routes back");
  note(network_.set_routes(tunnel_.ifindex(), overlay_routes(current_)), "putting the routes back");
}

template <class CutFilter>
Result<> Applier::begin(const Overlay& after, bool all, CutFilter cut) {
  if (auto prepared = prepare(after, all); !prepared) {
    note(cut(), "cutting without the tunnel");
    back_to_current();
    return prepared;
  }
  note(tell_ends(after), "telling where the peers are");
  return {};
}

Result<ApplyReport> Applier::end(Overlay after, bool all, Result<ApplyReport> written) {
  if (!written) {
    back_to_current();
    return std::unexpected(in_context(written.error(), "writing the filter"));
  }
  if (auto finished = finish(after, all); !finished) {
    // The new filter stays: behind the old tunnel it accepts nothing that the new state denies.
    back_to_current();
    return std::unexpected(finished.error());
  }
  current_ = std::move(after);
  current_known_ = true;
  return written;
}

// What a whole state takes away only the kernel knows, so all of it is written, to cut as well.
Result<> Applier::begin_replace(const policy::NodeState& wanted, const TimeBase& base, bool raise_epoch) {
  return begin(overlay_of(wanted), true, [&] { return write_replace(wanted, base, raise_epoch); });
}

Result<ApplyReport> Applier::write_replace(const policy::NodeState& wanted, const TimeBase& base,
                                           bool raise_epoch) {
  CORDON_ASSIGN(auto report, filter_.replace(wanted, base));
  if (!raise_epoch || report.epoch_raised) return report;
  CORDON_ASSIGN(const auto raised, filter_.update(wanted, {}, base, true));
  report.epoch_raised = raised.epoch_raised;
  report.verified = report.verified && raised.verified;
  return report;
}

Result<ApplyReport> Applier::end_replace(const policy::NodeState& wanted, Result<ApplyReport> written) {
  return end(overlay_of(wanted), true, std::move(written));
}

Result<ApplyReport> Applier::replace(const policy::NodeState& wanted, const TimeBase& base,
                                     bool raise_epoch) {
  CORDON_TRY(begin_replace(wanted, base, raise_epoch));
  return end_replace(wanted, write_replace(wanted, base, raise_epoch));
}

Result<ApplyReport> Applier::update(const policy::NodeState& before,
                                    const std::vector<policy::Change>& changes, const TimeBase& base,
                                    bool raise_epoch) {
  Overlay after = current_;
  node::apply(after, changes);
  const auto cut = [&]() -> Result<ApplyReport> {
    std::vector<policy::Change> cuts;
    for (const policy::Change& change : changes) {
      const auto old = before.entries.find(change.key);
      if (policy::takes_away(old == before.entries.end() ? nullptr : &old->second, change))
        cuts.push_back(change);
    }
    if (cuts.empty() && !raise_epoch) return ApplyReport{};
    return filter_.update(before, cuts, base, raise_epoch);
  };
  CORDON_TRY(begin(after, false, cut));
  return end(std::move(after), false, filter_.update(before, changes, base, raise_epoch));
}

Result<> Applier::restore(const Overlay& overlay) {
  tunnel_peers_.forget();
  CORDON_TRY(set_peers(overlay.peers));
  CORDON_TRY(network_.set_addresses(tunnel_.ifindex(), overlay_addresses(overlay)));
  CORDON_TRY(network_.set_people(tunnel_.ifindex(), people_routing(overlay, people_)));
  CORDON_TRY(network_.set_routes(tunnel_.ifindex(), overlay_routes(overlay)));
  current_ = overlay;
  current_known_ = true;
  return {};
}

Result<std::vector<std::string>> Applier::keep_network() {
  std::vector<std::string> out;
  if (!current_known_) return out;
  const auto keep = [&](std::string_view what, const auto& set) -> Result<> {
    const std::uint64_t before = network_.written();
    CORDON_TRY(set());
    if (network_.written() != before)
      out.push_back(fmt::format("{} were changed by somebody else: put back", what));
    return {};
  };
  const unsigned link = tunnel_.ifindex();
  // A route needs its source address.
  CORDON_TRY(keep("addresses", [&] { return network_.set_addresses(link, overlay_addresses(current_)); }));
  CORDON_TRY(keep("rules and routes of people",
                  [&] { return network_.set_people(link, people_routing(current_, people_)); }));
  CORDON_TRY(keep("routes", [&] { return network_.set_routes(link, overlay_routes(current_)); }));
  return out;
}

Result<> Applier::set_people(std::vector<UidRange> people) {
  people_ = std::move(people);
  if (!current_known_) return {};
  return network_.set_people(tunnel_.ifindex(), people_routing(current_, people_));
}

Result<> Applier::set_endpoint_hints(const std::map<DeviceId, Endpoint>& hints,
                                     const std::set<DeviceId>& begin) {
  bool concerns = false;
  for (const DeviceId& device : begin) concerns = tunnel_peers_.begin(device) || concerns;
  for (const auto& [device, endpoint] : hints) {
    tunnel_peers_.hint(device, endpoint);
    concerns = concerns || current_.peers.contains(device);
  }
  if (!concerns) return {};
  CORDON_TRY(set_peers(current_.peers));
  return tell_ends(current_);
}

Result<> Applier::use_preshared(PresharedByPeer preshared, bool now) {
  tunnel_peers_.use_preshared(std::move(preshared));
  return now && !current_.peers.empty() ? set_peers(current_.peers) : Result<>{};
}

Result<> Applier::tell_ends(const Overlay& overlay) {
  if (!overlay.settings || !overlay.settings->isolated) return {};
  CORDON_ASSIGN(auto ends, tunnel_peers_.ends(overlay.peers));
  CORDON_TRY(filter_.set_peers(ends));
  ends_ = std::move(ends);
  return {};
}

Result<> Applier::follow_peers() {
  return tell_ends(current_);
}

}  // namespace cordon::node
