#include "controller/distribution/meetings.h"

namespace cordon::controller {

bool Meetings::holds(const DeviceId& node, const DeviceId& peer) const {
  const auto awaited = awaited_.find(node);
  if (awaited != awaited_.end() && awaited->second.contains(peer)) return false;
  return nodes_.was_sent(node, peer);
}

void Meetings::added(const DeviceId& node, const DeviceId& peer, Revision revision) {
  if (holds(peer, node)) return nodes_.begin(node, peer);
  awaited_[node][peer] = revision;
}

void Meetings::removed(const DeviceId& node, const DeviceId& peer) {
  const auto awaited = awaited_.find(node);
  if (awaited == awaited_.end()) return;
  awaited->second.erase(peer);
  if (awaited->second.empty()) awaited_.erase(awaited);
}

void Meetings::acked(const DeviceId& node, Revision ready) {
  const auto awaited = awaited_.find(node);
  if (awaited == awaited_.end()) return;
  std::map<DeviceId, Revision> rest;
  for (const auto& [peer, revision] : awaited->second) {
    if (revision > ready || !nodes_.was_sent(node, peer)) {
      rest.emplace(peer, revision);
      continue;
    }
    const auto other = awaited_.find(peer);
    if (other == awaited_.end() || !other->second.contains(node)) continue;
    removed(peer, node);
    nodes_.begin(peer, node);
  }
  if (rest.empty())
    awaited_.erase(node);
  else
    awaited->second = std::move(rest);
}

}  // namespace cordon::controller
