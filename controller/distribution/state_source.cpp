#include "controller/distribution/state_source.h"

#include <algorithm>

#include "controller/distribution/touched.h"

namespace cordon::controller {

// States are as of the newest record's time, so that they depend on the revision alone.

StateSource::StateSource(const policy::World& world) : world_(world), engine_(world, world.at) {
  for (const auto& [id, device] : world.devices)
    if (device.is_node()) followed_.insert(id);
}

StateSource::StatePtr StateSource::follow(const DeviceId& device) {
  if (!engine_.is_active(device)) return nullptr;
  followed_.insert(device);
  return state(device);
}

StateSource::StatePtr StateSource::state(const DeviceId& device) const {
  if (!follows(device) || !engine_.is_active(device)) return nullptr;
  return std::make_shared<const policy::NodeState>(engine_.state(device));
}

std::vector<StateSource::Affected> StateSource::advance(
    const Record& record, const std::function<bool(const DeviceId&)>& connected) {
  const policy::Touched touched = touched_by(record);
  const policy::Engine::Update update = engine_.advance(touched, world_.at);
  for (const DeviceId& device : touched.devices)
    if (!engine_.is_active(device)) forget(device);
  std::vector<Affected> affected;
  for (std::size_t i = 0; i < update.size(); ++i) {
    const DeviceId& device = update.device(i);
    if (!follows(device)) continue;
    affected.push_back({.device = device, .changes = connected(device) ? update.changes(i) : nullptr});
  }
  return affected;
}

std::chrono::milliseconds heartbeat_interval(const policy::World& world) {
  Seconds shortest = world.installation.node_lease;
  for (const policy::Rule& rule : world.policy->rules) {
    if (rule.effect == policy::Effect::allow) shortest = std::min(shortest, rule.lease);
  }
  using std::chrono::milliseconds;
  return std::clamp(milliseconds(shortest) / 3, milliseconds(500), milliseconds(10'000));
}

}  // namespace cordon::controller
