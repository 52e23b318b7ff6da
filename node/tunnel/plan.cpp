#include "node/tunnel/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace cordon::node::wireguard {
namespace {

Result<> check_peers(const std::vector<Peer>& wanted) {
  std::set<WireguardKey> keys;
  std::set<Prefix> prefixes;
  for (const Peer& peer : wanted) {
    if (!keys.insert(peer.public_key).second) {
      return fail(ErrorCode::conflict,
                  fmt::format("WireGuard peer {} is wanted twice", to_base64(peer.public_key)));
    }
    for (const Prefix& prefix : peer.allowed_ips) {
      if (!prefixes.insert(prefix).second) {
        return fail(ErrorCode::conflict,
                    fmt::format("{} is wanted at two WireGuard peers", prefix.to_string()));
      }
    }
  }
  return {};
}

/// None: as wanted already. `predecessor`: whose endpoint it takes over when it is new.
std::optional<PeerChange> upsert(const PeerState* held, const Peer& wanted, const PeerState* predecessor) {
  PeerChange change{.public_key = wanted.public_key, .update_only = held != nullptr};
  for (const Prefix& prefix : wanted.allowed_ips) {
    const bool there =
        held != nullptr && std::ranges::find(held->allowed_ips, prefix) != held->allowed_ips.end();
    if (!there) change.add_allowed_ips.push_back(prefix);
  }
  if (wanted.endpoint && (held == nullptr || held->endpoint != wanted.endpoint))
    change.endpoint = wanted.endpoint;
  if (held == nullptr && predecessor != nullptr && !change.endpoint) change.endpoint = predecessor->endpoint;
  if (wanted.preshared_key != (held == nullptr ? WireguardKey{} : held->preshared_key))
    change.preshared_key = wanted.preshared_key;
  if (wanted.keepalive_s && *wanted.keepalive_s != (held == nullptr ? 0 : held->keepalive_s))
    change.keepalive_s = wanted.keepalive_s;
  if (held != nullptr && change == PeerChange{.public_key = wanted.public_key, .update_only = true})
    return std::nullopt;
  return change;
}

}  // namespace

Result<std::vector<PeerChange>> plan_peers(const std::vector<PeerState>& held,
                                           const std::vector<Peer>& wanted, const WireguardKey& parking) {
  CORDON_TRY(check_peers(wanted));
  std::map<WireguardKey, const PeerState*> by_key;
  for (const PeerState& peer : held) by_key[peer.public_key] = &peer;
  const auto find = [&by_key](const WireguardKey& key) -> const PeerState* {
    const auto it = by_key.find(key);
    return it == by_key.end() ? nullptr : it->second;
  };

  std::vector<PeerChange> changes;
  std::set<WireguardKey> wanted_keys;
  std::set<Prefix> wanted_prefixes;
  for (const Peer& peer : wanted) {
    wanted_keys.insert(peer.public_key);
    wanted_prefixes.insert(peer.allowed_ips.begin(), peer.allowed_ips.end());
    const PeerState* predecessor = peer.successor_of ? find(*peer.successor_of) : nullptr;
    if (auto change = upsert(find(peer.public_key), peer, predecessor)) changes.push_back(*std::move(change));
  }

  PeerChange park{.public_key = parking};
  std::vector<PeerChange> removals;
  for (const PeerState& peer : held) {
    if (!wanted_keys.contains(peer.public_key)) {
      removals.push_back({.public_key = peer.public_key, .remove = true});
      continue;
    }
    std::ranges::copy_if(peer.allowed_ips, std::back_inserter(park.add_allowed_ips),
                         [&](const Prefix& prefix) { return !wanted_prefixes.contains(prefix); });
  }
  if (!park.add_allowed_ips.empty()) {
    changes.push_back(std::move(park));
    changes.push_back({.public_key = parking, .remove = true});
  }
  std::ranges::move(removals, std::back_inserter(changes));
  return changes;
}

DeviceChange plan_turn(const std::vector<PeerState>& held, const WireguardKey& key,
                       const PresharedByPeer& preshared) {
  DeviceChange turn{.private_key = key};
  for (const PeerState& peer : held) {
    const auto found = preshared.find(peer.public_key);
    const WireguardKey wanted = found == preshared.end() ? WireguardKey{} : found->second;
    PeerChange first{.public_key = peer.public_key, .update_only = true};
    if (wanted != peer.preshared_key) first.preshared_key = wanted;
    if (peer.keepalive_s != 0) first.keepalive_s = 0;
    if (first != PeerChange{.public_key = peer.public_key, .update_only = true})
      turn.peers.push_back(std::move(first));
  }
  // On only when all have their keys: what is queued for a peer goes out with the first of these.
  for (const PeerState& peer : held)
    if (peer.keepalive_s != 0)
      turn.peers.push_back(
          {.public_key = peer.public_key, .update_only = true, .keepalive_s = peer.keepalive_s});
  return turn;
}

std::vector<PeerStatus> to_status(const DeviceState& state, Timestamp now) {
  std::vector<PeerStatus> out;
  const std::int64_t now_s = to_us(now) / 1'000'000;
  for (const PeerState& peer : state.peers) {
    PeerStatus status{.public_key = peer.public_key,
                      .endpoint = peer.endpoint,
                      .allowed_ips = peer.allowed_ips,
                      .handshake_age = std::nullopt,
                      .received_bytes = peer.received_bytes,
                      .sent_bytes = peer.sent_bytes};
    if (peer.last_handshake != HandshakeTime{}) {
      // The wall clock may have been set back since.
      status.handshake_age = Seconds{std::max<std::int64_t>(0, now_s - peer.last_handshake.seconds)};
    }
    out.push_back(std::move(status));
  }
  return out;
}

}  // namespace cordon::node::wireguard
