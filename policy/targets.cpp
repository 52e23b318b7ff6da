// Devices in the same segments are one target: what reaches one reaches all, so grants are kept once a set of
// segments and not once a device.
#include "policy/evaluate.h"
#include "policy/selectors.h"
#include "policy/world.h"

namespace cordon::policy {
namespace {

void number(World& world, std::set<std::string> segments) {
  if (world.target_numbers.try_emplace(std::move(segments), world.next_target).second) world.next_target += 2;
}

}  // namespace

TargetId target_of(const World& world, const Device& device, const std::set<std::string>& segments) {
  const auto found = world.target_numbers.find(segments);
  return TargetId{found == world.target_numbers.end() ? 0 : found->second + (device.cut_off() ? 1u : 0u)};
}

void number_targets(World& world) {
  const Selectors selectors(*world.policy);
  std::set<Positions> seen;  // few, however many devices there are
  for (const auto& [id, device] : world.devices) {
    if (device.state != DeviceState::active) continue;
    Positions positions = selectors.segments_of(device);
    if (seen.contains(positions)) continue;
    std::set<std::string> names;
    for (const std::uint32_t position : positions) names.insert(selectors.name_of(position));
    number(world, std::move(names));
    seen.insert(std::move(positions));
  }
}

void number_target(World& world, const Device& device) {
  if (device.state == DeviceState::active) number(world, segments_of(world, device));
}

}  // namespace cordon::policy
