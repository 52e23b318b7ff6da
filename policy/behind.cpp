// What is behind gateways, by its addresses. Prefixes never overlap, so the nearest one below is the only
// one that can hold an address.
#include "policy/world.h"

namespace cordon::policy {

std::vector<Prefix> prefixes_of(const Device& device) {
  if (device.is_behind()) return device.prefixes;
  std::vector<Prefix> out;
  for (const Address& address : {device.addresses.v4, device.addresses.v6})
    if (!address.is_unspecified()) out.push_back(Prefix::host(address));
  return out;
}

const Device* find_behind(const World& world, const Address& address) {
  auto it = world.prefixes.upper_bound(Prefix::host(address));
  if (it == world.prefixes.begin()) return nullptr;
  --it;
  return it->first.contains(address) ? &world.devices.at(it->second) : nullptr;
}

const std::pair<const Prefix, DeviceId>* find_overlap(const World& world, const Prefix& prefix) {
  auto it = world.prefixes.lower_bound(prefix);
  if (it != world.prefixes.end() && prefix.contains(it->first.address)) return &*it;
  if (it == world.prefixes.begin()) return nullptr;
  --it;
  return it->first.contains(prefix.address) ? &*it : nullptr;
}

void put_behind(World& world, Device device) {
  const DeviceId gateway = device.gateway;
  for (const Prefix& prefix : device.prefixes) world.prefixes[prefix] = device.id;
  world.behind[gateway].insert(device.id);
  world.devices[device.id] = std::move(device);
  follow_gateway(world, gateway);
}

void forget_behind(World& world, const Device& device) {
  for (const Prefix& prefix : device.prefixes) world.prefixes.erase(prefix);
  std::set<DeviceId>& others = world.behind[device.gateway];
  others.erase(device.id);
  if (others.empty()) world.behind.erase(device.gateway);
}

void follow_gateway(World& world, const DeviceId& gateway) {
  const auto behind = world.behind.find(gateway);
  if (behind == world.behind.end()) return;
  const Device& node = world.devices.at(gateway);
  for (const DeviceId& id : behind->second) {
    const Device& was = world.devices.at(id);
    if (was.state == node.state && was.gateway_isolated == node.isolated) continue;
    Device& device = world.devices[id];
    device.state = node.state;
    device.gateway_isolated = node.isolated;
    number_target(world, device);
  }
}

}  // namespace cordon::policy
