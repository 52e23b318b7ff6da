#include "controller/distribution/key_rotation.h"

#include <algorithm>

#include "base/log.h"
#include "controller/core/change_log.h"
#include "controller/core/metrics.h"
#include "controller/world/kinds.h"

namespace cordon::controller {
namespace {

constexpr std::string_view kKeysArea = "controller.keys";
// An order that nothing comes of is given again; meanwhile no neighbour turns.
constexpr auto kTurnTakes = std::chrono::seconds(10);
// Peers that saw no handshake follow the log: until they have, the device's neighbours keep their keys.
constexpr auto kTurnSettles = std::chrono::seconds(2);

}  // namespace

KeyRotation::KeyRotation(ChangeLog& log, Metrics& metrics, const Clock& clock, Nodes& nodes,
                         const RateLimitSpec& records)
    : log_(log), metrics_(metrics), clock_(clock), nodes_(nodes), records_(records) {}

void KeyRotation::told(const DeviceId& device, const WireguardKey& key,
                       const std::optional<WireguardKey>& next) {
  Known& known = known_[device];
  if (known.next != next || known.key != key) known.wait.reset();
  known.key = key;
  known.next = next;
  due_.insert(device);
  run();
}

void KeyRotation::gone(const DeviceId& device) {
  known_.erase(device);
  moved_on(device);
}

void KeyRotation::moved_on(const DeviceId& node) {
  for (auto& [device, known] : known_)
    if (known.wait && known.wait->waiting.contains(node)) due_.insert(device);
}

void KeyRotation::run() {
  const Timestamp now = clock_.now();
  std::erase_if(turning_, [now](const auto& entry) { return entry.second <= now; });
  const auto due = std::exchange(due_, {});
  for (const DeviceId& device : due)
    if (const auto known = known_.find(device); known != known_.end()) consider(device, known->second);
}

void KeyRotation::consider(const DeviceId& device, Known& known) {
  if (known.proposing) return;
  const auto& devices = log_.world().devices;
  const auto found = devices.find(device);
  if (found == devices.end() || !found->second.is_node()) return;
  const policy::Device& recorded = found->second;
  if (known.key != recorded.wireguard_key) {
    return propose(device, known, kinds::WireguardKeyChanged{.device = device, .wireguard_key = known.key});
  }
  if (recorded.isolated) return known.wait.reset();
  if (!known.next) {
    known.wait.reset();
    if (recorded.rotation_asked && !std::exchange(known.asked, true)) nodes_.order_next_key(device);
    if (!recorded.rotation_asked) known.asked = false;
    return;
  }
  if (recorded.next_wireguard_key != known.next) {
    return propose(device, known, kinds::WireguardKeyOffered{.device = device, .wireguard_key = *known.next});
  }
  wait(device, known);
}

void KeyRotation::wait(const DeviceId& device, Known& known) {
  const policy::World& world = log_.world();
  const Timestamp now = clock_.now();
  if (!known.wait) {
    known.wait = Wait{.revision = world.revision, .since = now, .peers = nodes_.peers_of(device)};
    known.wait->waiting = known.wait->peers;
  }
  Wait& wait = *known.wait;
  std::erase_if(wait.waiting, [&](const DeviceId& node) { return nodes_.is_past(node, wait.revision); });
  due_.insert(device);  // looked at again in a second
  // Who refuses what it is sent holds a turn up for as long as a node may be out of touch.
  if (!wait.waiting.empty() && now < wait.since + world.installation.node_lease) return;
  if ((wait.ordered && now < *wait.ordered + kTurnTakes) || neighbour_turns(wait)) return;
  wait.ordered = now;
  turning_[device] = now + kTurnTakes;
  for (const DeviceId& peer : wait.peers) nodes_.watch(peer, device);
  nodes_.order_turn(device, *known.next);
}

/// Two that turn at once each speak to a key that the other has no longer.
bool KeyRotation::neighbour_turns(const Wait& wait) const {
  return std::ranges::any_of(turning_, [&](const auto& entry) { return wait.peers.contains(entry.first); });
}

template <class Kind>
void KeyRotation::propose(const DeviceId& device, Known& known, const Kind& kind) {
  due_.insert(device);
  if (!records_.take(device.value, RateLimiter::Time::clock::now()))
    return metrics_.count("key_records_limited");
  known.proposing = true;
  log_.propose(kinds::encode("device:" + device.value, kind),
               [weak = weak_from_this(), device](const Result<Committed>& committed) {
                 const auto self = weak.lock();
                 if (!self) return;
                 if (!committed) log::warning(kKeysArea, "{}: {}", device.value, committed.error().message());
                 if (committed && std::is_same_v<Kind, kinds::WireguardKeyChanged>) {
                   self->turning_[device] = self->clock_.now() + kTurnSettles;
                   self->metrics_.count("wireguard_keys_changed");
                   log::info(kKeysArea, "{} turned to a new WireGuard key", device.value);
                 }
                 const auto known = self->known_.find(device);
                 if (known != self->known_.end()) known->second.proposing = false;
                 self->due_.insert(device);
                 if (committed) self->run();  // else in a second, as often as records may come
               });
}

}  // namespace cordon::controller
