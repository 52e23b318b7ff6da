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

Result<> Applier::set_peers(const std::map<DeviceId, policy::PeerValue>& peers) {
  CORDON_TRY(tunnel_peers_.set(peers));
  peers_ = peers;
  return {};
}

Result<> Applier::prepare(const Overlay& after, bool all) {
  if (auto peers = both(current_.peers, after.peers); all || peers != peers_) {
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

Result<Gateways> Applier::look_at_gateways(const Overlay& overlay) const {
  const bool peers_are = has_gateways(overlay);
  if (declared_.empty() && overlay.away.empty() && !peers_are) return Gateways{};  // as most
  Surroundings host{.declared = declared_, .networks = {}, .controllers = controllers_, .peers = {}};
  CORDON_ASSIGN(host.networks, network_.own_networks(tunnel_.ifindex()));
  if (peers_are) {
    CORDON_ASSIGN(host.peers, tunnel_peers_.ends(overlay.peers));
  }
  return gateways_of(overlay, host);
}

Result<> Applier::lead(const Overlay& after, const Gateways& gateways, bool all) {
  const unsigned link = tunnel_.ifindex();
  const auto& before = gateways_.subnets.routed;
  const auto& routed = gateways.subnets.routed;
  // Before the device's own routes, and after they are gone: at no time may a person take those.
  std::vector<Prefix> either = before;
  either.insert(either.end(), routed.begin(), routed.end());
  std::ranges::sort(either);
  either.erase(std::ranges::unique(either).begin(), either.end());
  const auto people = people_routing(after, either, people_);
  if (all || people != people_routing(current_, before, people_)) {
    auto set = network_.set_people(link, people);
    if (!set) return std::unexpected(in_context(set.error(), "setting the sessions' routes"));
  }
  if (auto routes = overlay_routes(after, routed); all || routes != overlay_routes(current_, before)) {
    auto set = network_.set_routes(link, routes);
    if (!set) return std::unexpected(in_context(set.error(), "setting overlay routes"));
  }
  if (either != routed) {
    auto set = network_.set_people(link, people_routing(after, routed, people_));
    if (!set) return std::unexpected(in_context(set.error(), "removing the sessions' routes"));
  }
  return tell_subnets(gateways);
}

Result<> Applier::tell_subnets(const Gateways& gateways) {
  if (gateways.subnets != gateways_.subnets || !subnets_told_) {
    auto told = filter_.set_subnets(gateways.subnets);
    if (!told)
      return std::unexpected(in_context(told.error(), "telling the filter of the gateways' subnets"));
  }
  subnets_told_ = true;
  gateways_ = gateways;
  return {};
}

Result<> Applier::guard_subnets(const Overlay& overlay) {
  CORDON_ASSIGN(const Gateways gateways, look_at_gateways(overlay));
  CORDON_TRY(tell_subnets(gateways));
  guarded_ = overlay;
  return {};
}

Result<> Applier::lead_as_guarded() {
  if (current_known_ || !guarded_ || !guarded_->settings) return {};
  auto any = gateways_of(*guarded_, {}).subnets.routed;
  // What the tunnel has is newer than the state on disk: it is only touched where something has to go (I4).
  if (gateways_.subnets.routed == any) return {};
  leads_guarded_ = true;
  const Gateways wanted = gateways_;
  // The former daemon may have routed any of them. After an error that is still so: it is tried again.
  gateways_.subnets.routed = std::move(any);
  return lead(*guarded_, wanted, true);
}

Result<> Applier::tell_own_places(const Gateways& gateways) {
  Gateways told = gateways_;
  told.subnets.behind = gateways.subnets.behind;
  told.subnets.own = gateways.subnets.own;
  return tell_subnets(told);
}

Result<> Applier::follow_own_places() {
  if (guiding() == nullptr) return {};
  CORDON_ASSIGN(const Gateways own, look_at_gateways(Overlay{}));  // they hang on no state
  return tell_own_places(own);
}

Result<> Applier::follow_gateways() {
  const Overlay* overlay = guiding();
  if (overlay == nullptr) return {};
  CORDON_ASSIGN(const Gateways gateways, look_at_gateways(*overlay));
  if (gateways == gateways_) return {};
  if (!current_known_ && !leads_guarded_) {
    if (gateways.subnets.routed == gateways_.subnets.routed) return tell_subnets(gateways);
    leads_guarded_ = true;
  }
  // What is closed to the overlay doesn't wait for routes, which may fail.
  CORDON_TRY(tell_own_places(gateways));
  return lead(*overlay, gateways, false);
}

Result<> Applier::set_controllers(std::vector<Endpoint> controllers) {
  controllers_ = std::move(controllers);
  return follow_gateways();
}

Result<> Applier::finish(const Overlay& after, bool all) {
  CORDON_ASSIGN(const Gateways gateways, look_at_gateways(after));
  CORDON_TRY(lead(after, gateways, all));
  const auto addresses = overlay_addresses(after);
  if (both(overlay_addresses(current_), addresses) != addresses) {
    auto set = network_.set_addresses(tunnel_.ifindex(), addresses);
    if (!set) return std::unexpected(in_context(set.error(), "removing overlay addresses"));
  }
  if (peers_ != after.peers) {
    auto set = set_peers(after.peers);
    if (!set) return std::unexpected(in_context(set.error(), "removing tunnel peers"));
  }
  return {};
}

void Applier::back_to_current() {
  if (!current_known_) return;
  note(set_peers(current_.peers), "putting the tunnel's peers back");
  note(network_.set_addresses(tunnel_.ifindex(), overlay_addresses(current_)), "putting the addresses back");
  const auto gateways = look_at_gateways(current_);
  note(gateways ? lead(current_, *gateways, true) : Result<>(std::unexpected(gateways.error())),
       "putting the routes back");
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
  CORDON_ASSIGN(const Gateways gateways, look_at_gateways(overlay));
  CORDON_TRY(lead(overlay, gateways, true));
  current_ = overlay;
  current_known_ = true;
  return {};
}

Result<std::vector<std::string>> Applier::keep_network() {
  std::vector<std::string> out;
  CORDON_TRY(follow_gateways());
  if (!current_known_) return out;
  const auto& routed = gateways_.subnets.routed;
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
                  [&] { return network_.set_people(link, people_routing(current_, routed, people_)); }));
  CORDON_TRY(keep("routes", [&] { return network_.set_routes(link, overlay_routes(current_, routed)); }));
  return out;
}

Result<> Applier::set_people(std::vector<UidRange> people) {
  people_ = std::move(people);
  if (!current_known_) return {};
  return network_.set_people(tunnel_.ifindex(), people_routing(current_, gateways_.subnets.routed, people_));
}

Result<> Applier::set_endpoint_hints(const std::map<DeviceId, Endpoint>& hints,
                                     const std::set<DeviceId>& begin) {
  bool concerns = false;
  for (const DeviceId& device : begin) concerns = tunnel_peers_.begin(device) || concerns;
  for (const auto& [device, endpoint] : hints) {
    tunnel_peers_.hint(device, endpoint);
    concerns = concerns || peers_.contains(device);
  }
  if (!concerns) return {};
  CORDON_TRY(set_peers(peers_));
  CORDON_TRY(tell_ends(current_));
  return follow_gateways();
}

Result<> Applier::use_preshared(PresharedByPeer preshared, bool now) {
  tunnel_peers_.use_preshared(std::move(preshared));
  return now && !peers_.empty() ? set_peers(peers_) : Result<>{};
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
