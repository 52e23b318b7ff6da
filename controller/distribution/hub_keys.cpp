// The hub's part in pairs of nodes: keys that turn, preshared keys, and who begins a handshake.

#include "controller/core/change_log.h"
#include "controller/distribution/hub.h"
#include "proto/codec.h"
#include "proto/cordon.pb.h"

namespace cordon::controller {

std::set<DeviceId> Hub::peers_of(const DeviceId& device) const {
  std::set<DeviceId> peers;
  const auto state = states_.state(device);
  if (!state) return peers;
  for (auto it = state->entries.lower_bound(policy::PeerKey{}); it != state->entries.end(); ++it) {
    const auto* peer = std::get_if<policy::PeerKey>(&it->first);
    if (peer == nullptr) break;
    peers.insert(peer->device);
  }
  return peers;
}

bool Hub::is_past(const DeviceId& node, Revision revision) const {
  const auto session = sessions_.find(node);
  if (session != sessions_.end()) {
    const StateFeed& feed = session->second->feed();
    return !session->second->knows_next_keys() || feed.settled() || feed.complete() >= revision;
  }
  if (!states_.follows(node)) return true;
  const auto known = facts_.find(node);
  const Timestamp leases_end = known != facts_.end()
                                   ? known->second.leases_end
                                   : started_ + services_.log.world().installation.node_lease;
  return leases_end < services_.clock.now();
}

void Hub::watch(const DeviceId& node, const DeviceId& turning) {
  const auto session = sessions_.find(node);
  if (session == sessions_.end() || !session->second->knows_next_keys()) return;
  wire::ToNode out;
  out.mutable_key_turns()->add_devices(turning.value);
  session->second->tell(out);
}

void Hub::order_next_key(const DeviceId& device) {
  const auto session = sessions_.find(device);
  if (session == sessions_.end()) return;
  wire::ToNode out;
  out.mutable_key_order();
  session->second->tell(out);
}

void Hub::order_turn(const DeviceId& device, const WireguardKey& to) {
  const auto session = sessions_.find(device);
  if (session == sessions_.end()) return;
  wire::ToNode out;
  out.mutable_key_order()->set_turn_to(std::string(as_text(to)));
  session->second->tell(out);
}

bool Hub::was_sent(const DeviceId& node, const DeviceId& peer) const {
  const auto session = sessions_.find(node);
  return session != sessions_.end() && session->second->feed().held().entries.contains(policy::PeerKey{peer});
}

void Hub::begin(const DeviceId& node, const DeviceId& peer) {
  const auto session = sessions_.find(node);
  if (session == sessions_.end()) return;
  session->second->begin_with(peer);
  pump_soon();
}

void Hub::add_preshared(const DeviceId& device, const DeviceId& peer, wire::PresharedKeys& out) const {
  const auto keys_of = [&](const DeviceId& id) {
    std::vector<WireguardKey> keys;
    const auto& devices = services_.log.world().devices;
    const auto found = devices.find(id);
    if (found == devices.end()) return keys;
    if (found->second.presharing) keys.push_back(found->second.wireguard_key);
    if (found->second.next_wireguard_key) keys.push_back(*found->second.next_wireguard_key);
    return keys;
  };
  const auto theirs = keys_of(peer);
  for (const WireguardKey& own : keys_of(device)) {
    for (const WireguardKey& other : theirs) {
      wire::PresharedKey& pair = *out.add_keys();
      pair.set_own(std::string(as_text(own)));
      pair.set_peer(std::string(as_text(other)));
      pair.set_key(std::string(as_text(preshared_.of(own, other))));
    }
  }
}

}  // namespace cordon::controller
