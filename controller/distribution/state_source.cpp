#include "controller/distribution/state_source.h"

#include <algorithm>

#include "controller/world/kinds.h"
#include "policy/compile.h"

namespace cordon::controller {

namespace {

/// Kinds that no node's state depends on. One that is missing here only costs a compilation.
bool changes_states(const Record& record) {
  const auto kind = kinds::decode(record.kind, record.version, record.payload);
  if (!kind) return true;
  return !std::holds_alternative<kinds::JoinTokenCreated>(*kind) &&
         !std::holds_alternative<kinds::JoinTokenRevoked>(*kind) &&
         !std::holds_alternative<kinds::CertificateIssued>(*kind) &&
         !std::holds_alternative<kinds::UserAdded>(*kind) &&
         !std::holds_alternative<kinds::ApiTokenCreated>(*kind) &&
         !std::holds_alternative<kinds::ApiTokenRevoked>(*kind) &&
         !std::holds_alternative<kinds::LoginSlowed>(*kind);
}

bool is_active(const policy::World& world, const DeviceId& device) {
  const auto found = world.devices.find(device);
  return found != world.devices.end() && found->second.state == policy::DeviceState::active;
}

}  // namespace

StateSource::StateSource(const policy::World& world) {
  for (auto& [device, state] : policy::compile(world, world.at)) {
    states_.emplace(device, std::make_shared<const policy::NodeState>(std::move(state)));
  }
}

StateSource::StatePtr StateSource::follow(const policy::World& world, const DeviceId& device) {
  if (const auto found = states_.find(device); found != states_.end()) return found->second;
  if (!is_active(world, device)) return nullptr;
  // As of the record's time, so that a state depends on the revision alone.
  auto state = std::make_shared<const policy::NodeState>(policy::compile_node(world, device, world.at));
  states_.emplace(device, state);
  return state;
}

void StateSource::forget(const DeviceId& device) {
  states_.erase(device);
}

StateSource::StatePtr StateSource::state(const DeviceId& device) const {
  const auto found = states_.find(device);
  return found == states_.end() ? nullptr : found->second;
}

std::vector<StateSource::Affected> StateSource::advance(const Record& record, const policy::World& world) {
  std::vector<Affected> affected;
  if (!changes_states(record)) return affected;
  std::erase_if(states_, [&](const auto& entry) { return !is_active(world, entry.first); });
  if (states_.empty()) return affected;
  // All at once: what relates rules to devices is worked out once, not once a node.
  std::map<DeviceId, policy::NodeState> compiled = policy::compile(world, world.at);
  for (auto& [device, state] : states_) {
    policy::NodeState next = std::move(compiled[device]);
    std::vector<policy::Change> changes = policy::difference(*state, next);
    if (changes.empty()) continue;
    state = std::make_shared<const policy::NodeState>(std::move(next));
    affected.push_back({.device = device, .changes = std::move(changes)});
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
