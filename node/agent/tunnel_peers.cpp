#include "node/agent/tunnel_peers.h"

#include <algorithm>
#include <set>

#include "base/log.h"

namespace cordon::node {
namespace {

constexpr BootNs kOldKeyStaysNs = 1'000'000'000;

/// How long a peer is quiet when no controller says more: one second, and up to another that hangs on the
/// peer's key, so that the two ends of a pair don't begin at the same time.
BootNs stays_quiet_ns(const WireguardKey& peer) {
  constexpr BootNs kLeast = 1'000'000'000, kStep = kLeast / 256;
  return kLeast + peer[0] * kStep;
}

}  // namespace

bool TunnelPeers::pending(const DeviceId& device, const policy::PeerValue& state) const {
  return state.next_key && key_of(device, state) != *state.next_key;
}

WireguardKey TunnelPeers::key_of(const DeviceId& device, const policy::PeerValue& state) const {
  const auto turned = turned_.find(device);
  return state.next_key && turned != turned_.end() && turned->second == *state.next_key ? *state.next_key
                                                                                        : state.public_key;
}

Result<std::vector<Endpoint>> TunnelPeers::ends(const States& states) const {
  std::set<WireguardKey> keys;
  std::set<Endpoint> out;
  for (const auto& [device, state] : states) {
    keys.insert(state.public_key);
    if (state.next_key) keys.insert(*state.next_key);
    if (const auto hint = hints_.find(device); hint != hints_.end()) out.insert(hint->second);
  }
  CORDON_ASSIGN(const auto peers, tunnel_.peers());
  for (const PeerStatus& peer : peers)
    if (peer.endpoint && keys.contains(peer.public_key)) out.insert(*peer.endpoint);
  return std::vector<Endpoint>(out.begin(), out.end());
}

bool TunnelPeers::begin(const DeviceId& device) {
  if (quiet_.erase(device) > 0) return true;
  if (!used_.contains(device)) begins_.insert(device);
  return false;
}

void TunnelPeers::forget() {
  told_.clear();
  used_.clear();
  old_.clear();
  quiet_.clear();
  anew_ = true;
}

bool TunnelPeers::turning(const States& states) const {
  return std::ranges::any_of(states, [&](const auto& entry) { return pending(entry.first, entry.second); });
}

bool TunnelPeers::restless(const States& states) const {
  return !old_.empty() || !quiet_.empty() || turning(states);
}

/// What is seen is asked of the tunnel, so a daemon that starts in the midst of a turn sees it too.
Result<std::vector<Peer>> TunnelPeers::note_turned(const States& states) {
  std::map<WireguardKey, const States::value_type*> awaited;
  for (const auto& entry : states)
    if (pending(entry.first, entry.second)) awaited.emplace(*entry.second.next_key, &entry);
  std::vector<Peer> turned;
  if (awaited.empty()) return turned;
  CORDON_ASSIGN(const auto peers, tunnel_.peers());
  for (const PeerStatus& peer : peers) {
    const auto found = awaited.find(peer.public_key);
    // Bytes are counted once they are authenticated: those of an initiation come a round trip before the
    // handshake is complete, and what follows it finds its allowed-IPs moved.
    if (found == awaited.end() || (peer.received_bytes == 0 && !peer.handshake_age)) continue;
    const auto& [device, state] = *found->second;
    turned_.insert_or_assign(device, peer.public_key);
    turned.push_back({.public_key = peer.public_key, .allowed_ips = state.allowed_ips});
  }
  return turned;
}

Result<> TunnelPeers::set(const States& states) {
  if (const auto seen = note_turned(states); !seen)
    log::warning("node.tunnel", "can't see whose key turned: {}", seen.error().message());
  std::erase_if(turned_, [&](const auto& entry) {
    const auto state = states.find(entry.first);
    return state == states.end() || state->second.next_key != entry.second;
  });
  std::map<DeviceId, WireguardKey> used;
  for (const auto& [device, state] : states) used.emplace(device, key_of(device, state));
  auto old = old_;
  for (const auto& [device, key] : used_) {
    const auto now = used.find(device);
    if (now != used.end() && now->second != key)
      old.insert_or_assign(key, Old{.device = device, .since = {}});
  }
  std::erase_if(old, [&](const auto& entry) {
    const auto now = used.find(entry.second.device);
    return now == used.end() || now->second == entry.first;
  });

  auto quiet = quiet_;
  std::erase_if(quiet, [&](const auto& entry) { return !used.contains(entry.first); });
  for (const auto& [device, key] : used)
    if (!anew_ && !used_.contains(device) && !begins_.contains(device)) quiet.try_emplace(device);

  std::vector<Peer> wanted;
  std::map<DeviceId, Endpoint> told;
  const auto add = [&](const WireguardKey& key) -> Peer& {
    Peer& peer = wanted.emplace_back();
    peer.public_key = key;
    if (const auto found = preshared_.find(key); found != preshared_.end())
      peer.preshared_key = found->second;
    return peer;
  };
  for (const auto& [device, state] : states) {
    const WireguardKey key = used.at(device);
    Peer& peer = add(key);
    peer.allowed_ips = state.allowed_ips;
    if (quiet.contains(device)) peer.keepalive_s.reset();
    if (const auto before = used_.find(device); before != used_.end() && before->second != key)
      peer.successor_of = before->second;
    if (const auto hint = hints_.find(device); hint != hints_.end()) {
      told.emplace(device, hint->second);
      const auto before = told_.find(device);
      if (before == told_.end() || before->second != hint->second) peer.endpoint = hint->second;
    }
    if (!pending(device, state)) continue;
    Peer& next = add(*state.next_key);
    next.keepalive_s = 0;  // it has nobody to talk to yet
    next.successor_of = key;
  }
  for (const auto& [key, entry] : old)
    if (std::ranges::none_of(wanted, [&](const Peer& peer) { return peer.public_key == key; }))
      add(key).keepalive_s = 0;

  CORDON_TRY(tunnel_.set_peers(wanted));
  told_ = std::move(told);
  used_ = std::move(used);
  old_ = std::move(old);
  quiet_ = std::move(quiet);
  std::erase_if(begins_, [&](const DeviceId& device) { return used_.contains(device); });
  anew_ = false;
  return {};
}

Result<> TunnelPeers::look(const States& states, BootNs now) {
  CORDON_ASSIGN(const auto turned, note_turned(states));
  // At once, for packets are coming; set() does the rest.
  if (!turned.empty()) CORDON_TRY(tunnel_.move_allowed_ips(turned));
  for (auto& [key, entry] : old_)
    if (!entry.since) entry.since = now;
  const bool over =
      std::erase_if(old_, [&](const auto& entry) { return now - *entry.second.since >= kOldKeyStaysNs; }) > 0;
  for (auto& [device, since] : quiet_)
    if (!since) since = now;
  const bool begins = std::erase_if(quiet_, [&](const auto& entry) {
                        const auto key = used_.find(entry.first);
                        return key == used_.end() || now - *entry.second >= stays_quiet_ns(key->second);
                      }) > 0;
  if (turned.empty() && !over && !begins) return {};
  return set(states);
}

}  // namespace cordon::node
