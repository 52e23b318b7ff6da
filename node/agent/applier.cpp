#include "node/agent/applier.h"

#include <algorithm>
#include <set>

#include "base/log.h"

namespace cordon::node {
namespace {

constexpr std::string_view kApplierArea = "node.agent";
constexpr std::uint8_t kTcpProtocol = 6;
/// Each costs a look at all of the host's sockets; beyond that many at once they end by their own time
/// limits.
constexpr std::size_t kGonePrincipals = 64;

/// Peers of both states. An allowed-IP that moves belongs to its new peer at once: it can only have one.
std::map<DeviceId, policy::PeerValue> both(const std::map<DeviceId, policy::PeerValue>& before,
                                           const std::map<DeviceId, policy::PeerValue>& after) {
  std::set<Prefix> taken;
  for (const auto& [device, peer] : after) taken.insert(peer.allowed_ips.begin(), peer.allowed_ips.end());
  auto out = after;
  for (const auto& [device, peer] : before) {
    auto& merged =
        out.try_emplace(device, policy::PeerValue{.public_key = peer.public_key, .allowed_ips = {}})
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
  for (const auto& [key, value] : state.entries) {
    if (const auto* peer = std::get_if<policy::PeerKey>(&key))
      overlay.peers.emplace(peer->device, std::get<policy::PeerValue>(value));
    else if (const auto* session = std::get_if<policy::LocalSessionKey>(&key))
      overlay.sessions.emplace(session->session, std::get<policy::LocalSessionValue>(value));
  }
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
  const auto& settings = *overlay.settings;
  const policy::LocalSessionValue* only =
      overlay.sessions.size() == 1 ? &overlay.sessions.begin()->second : nullptr;
  const auto add = [&out](const Prefix& to, const Address& session, const Address& device) {
    const bool has_session = session != Address{} && !session.is_unspecified();
    const Address& source = has_session ? session : device;
    if (to.bits != 0 && source != Address{} && !source.is_unspecified())
      out.push_back({.destination = to, .source = source});
  };
  add(settings.overlay_v4, only ? only->v4 : Address{}, settings.v4);
  add(settings.overlay_v6, only ? only->v6 : Address{}, settings.v6);
  return out;
}

Result<> Applier::set_peers(const std::map<DeviceId, policy::PeerValue>& peers) {
  std::vector<Peer> wanted;
  wanted.reserve(peers.size());
  std::map<DeviceId, Endpoint> told;
  for (const auto& [device, value] : peers) {
    Peer& peer = wanted.emplace_back();
    peer.public_key = value.public_key;
    peer.allowed_ips = value.allowed_ips;
    const auto hint = hints_.find(device);
    if (hint == hints_.end()) continue;
    told.emplace(device, hint->second);
    const auto before = told_.find(device);
    if (before == told_.end() || before->second != hint->second) peer.endpoint = hint->second;
  }
  CORDON_TRY(tunnel_.set_peers(wanted));
  told_ = std::move(told);
  return {};
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
  note(network_.set_routes(tunnel_.ifindex(), overlay_routes(current_)), "putting the routes back");
}

template <class WriteFilter, class CutFilter>
Result<ApplyReport> Applier::run(Overlay after, bool all, WriteFilter write, CutFilter cut) {
  if (auto prepared = prepare(after, all); !prepared) {
    note(cut(), "cutting without the tunnel");
    back_to_current();
    return std::unexpected(prepared.error());
  }
  auto report = write();
  if (!report) {
    back_to_current();
    return std::unexpected(in_context(report.error(), "writing the filter"));
  }
  if (auto finished = finish(after, all); !finished) {
    // The new filter stays: behind the old tunnel it accepts nothing that the new state denies.
    back_to_current();
    return std::unexpected(finished.error());
  }
  end_sockets(after);
  current_ = std::move(after);
  current_known_ = true;
  return report;
}

Result<ApplyReport> Applier::replace(const policy::NodeState& wanted, const TimeBase& base,
                                     bool raise_epoch) {
  const auto write = [&]() -> Result<ApplyReport> {
    CORDON_ASSIGN(auto report, filter_.replace(wanted, base));
    if (!raise_epoch || report.epoch_raised) return report;
    CORDON_ASSIGN(const auto raised, filter_.update(wanted, {}, base, true));
    report.epoch_raised = raised.epoch_raised;
    report.verified = report.verified && raised.verified;
    return report;
  };
  // What a whole state takes away only the kernel knows, so all of it is written.
  return run(overlay_of(wanted), true, write, write);
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
  auto done =
      run(std::move(after), false, [&] { return filter_.update(before, changes, base, raise_epoch); }, cut);
  if (done) end_sockets_of_gone(before, changes);
  return done;
}

Result<> Applier::restore(const Overlay& overlay) {
  told_.clear();
  CORDON_TRY(set_peers(overlay.peers));
  CORDON_TRY(network_.set_addresses(tunnel_.ifindex(), overlay_addresses(overlay)));
  CORDON_TRY(network_.set_routes(tunnel_.ifindex(), overlay_routes(overlay)));
  current_ = overlay;
  current_known_ = true;
  return {};
}

Result<> Applier::set_endpoint_hints(const std::map<DeviceId, Endpoint>& hints) {
  bool concerns = false;
  for (const auto& [device, endpoint] : hints) {
    hints_.insert_or_assign(device, endpoint);
    concerns = concerns || current_.peers.contains(device);
  }
  return concerns ? set_peers(current_.peers) : Result<>{};
}

void Applier::destroy_sockets(const Address& local, const Address& remote) {
  const auto ended = network_.destroy_sockets(local, remote, kTcpProtocol, 0, 0);
  if (!ended) {
    log::warning(kApplierArea, "can't end sockets of {}: {}", (remote.is_unspecified() ? local : remote).to_string(),
                 ended.error().message());
  }
}

/// At the target's end: a database that waits for a person who is gone keeps their locks.
void Applier::end_sockets_of_gone(const policy::NodeState& before,
                                  const std::vector<policy::Change>& changes) {
  std::size_t left = kGonePrincipals;
  for (const policy::Change& change : changes) {
    const auto* principal = std::get_if<policy::PrincipalKey>(&change.key);
    if (principal == nullptr || change.value || !before.entries.contains(change.key)) continue;
    if (left-- == 0) return;
    destroy_sockets(Address{}, principal->address);
  }
}

void Applier::end_sockets(const Overlay& after) {
  // A person whose session ended shouldn't watch programs hang on an address that is gone.
  for (const auto& [id, session] : current_.sessions) {
    if (after.sessions.contains(id)) continue;
    for (const Address& address : {session.v4, session.v6}) {
      if (address == Address{} || address.is_unspecified()) continue;
      destroy_sockets(address, Address{});
    }
  }
}

}  // namespace cordon::node
