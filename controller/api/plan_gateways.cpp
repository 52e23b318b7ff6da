#include "controller/api/plan_gateways.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "policy/plan_words.h"
#include "policy/relations.h"
#include "proto/features.h"

namespace cordon::controller::api {
namespace {

constexpr std::size_t kMostGatewayLines = 20;

bool knows_gateways(const NodeStatus& node) {
  return !node.features || node.features->contains(std::string(wire::kFeatureGateways1));
}

bool forwards_to(const NodeStatus& node, const Prefix& prefix) {
  return std::ranges::any_of(node.gateway_subnets, [&](const Prefix& subnet) {
    return subnet.bits <= prefix.bits && subnet.contains(prefix.address);
  });
}

void keep_first(std::vector<std::string>& lines) {
  if (lines.size() <= kMostGatewayLines) return;
  const std::size_t more = lines.size() - kMostGatewayLines;
  lines.resize(kMostGatewayLines);
  lines.push_back(fmt::format("and {} more", more));
}

/// Nodes of an older release whose principals the policy lets reach something behind a gateway.
std::vector<std::string> nodes_too_old(const policy::World& world, const Distribution::Told& nodes,
                                       Timestamp now) {
  std::set<std::string> out;
  if (std::ranges::all_of(nodes, [](const auto& entry) { return knows_gateways(entry.second); })) return {};
  const policy::Relations relations(world, now);
  for (const auto& group : relations.target_groups()) {
    if (std::ranges::none_of(group.members, &policy::Device::is_behind)) continue;
    for (const auto& source : group.sources)
      for (const std::uint32_t member : relations.principal_group(source.group).members) {
        const DeviceId& device = relations.principals()[member].device->id;
        const auto node = nodes.find(device);
        if (node != nodes.end() && !knows_gateways(node->second)) out.insert(device.value);
      }
  }
  return {out.begin(), out.end()};
}

}  // namespace

std::string not_forwarded(const policy::Device& device, const Distribution::Told& nodes) {
  if (!device.is_behind()) return {};
  const std::string& gateway = device.gateway.value;
  const auto node = nodes.find(device.gateway);
  if (node == nodes.end() || !node->second.features)
    return fmt::format("{} hasn't connected yet, so whether it forwards to {} isn't known", gateway,
                       device.id.value);
  if (!knows_gateways(node->second))
    return fmt::format(
        "{} runs a release that can't be a gateway: upgrade cordon-node there, or {} is out of reach",
        gateway, device.id.value);
  std::vector<std::string> missing;
  for (const Prefix& prefix : device.prefixes)
    if (!forwards_to(node->second, prefix)) missing.push_back(prefix.to_string());
  if (missing.empty()) return {};
  return fmt::format("{} doesn't forward to {} of {}: name it under [gateway] subnets in its node.toml",
                     gateway, fmt::join(missing, ", "), device.id.value);
}

Result<> can_be_gateway(const DeviceId& gateway, const Distribution::Told& nodes) {
  const auto node = nodes.find(gateway);
  if (node == nodes.end() || knows_gateways(node->second)) return {};
  return fail(ErrorCode::conflict, fmt::format("{} runs a release that can't be a gateway", gateway.value),
              "upgrade cordon-node there first");
}

std::vector<policy::PlanWarning> gateway_warnings(const policy::World& world, const Distribution::Told& nodes,
                                                  Timestamp now) {
  std::vector<policy::PlanWarning> out;
  if (world.behind.empty()) return out;
  policy::PlanWarning forwards{.kind = policy::PlanWarning::Kind::not_forwarded, .text = {}, .lines = {}};
  const policy::Selectors selectors(*world.policy);
  for (const auto& [gateway, devices] : world.behind)
    for (const DeviceId& id : devices) {
      const policy::Device& device = world.devices.at(id);
      if (selectors.segments_of(device).empty()) continue;
      if (std::string line = not_forwarded(device, nodes); !line.empty())
        forwards.lines.push_back(std::move(line));
    }
  if (!forwards.lines.empty()) {
    forwards.text = fmt::format("{} behind a gateway can't be reached as gateways are now",
                                policy::counted(forwards.lines.size(), "device"));
    keep_first(forwards.lines);
    out.push_back(std::move(forwards));
  }
  if (std::vector<std::string> old = nodes_too_old(world, nodes, now); !old.empty()) {
    out.push_back({.kind = policy::PlanWarning::Kind::too_old_for_gateways,
                   .text = fmt::format(
                       "{} can't reach what is behind a gateway until cordon-node is upgraded",
                       policy::counted(old.size(), "node of an older release", "nodes of an older release")),
                   .lines = std::move(old)});
    keep_first(out.back().lines);
  }
  return out;
}

}  // namespace cordon::controller::api
