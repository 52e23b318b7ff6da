#include "policy/reach_map.h"

#include <algorithm>
#include <set>

#include "policy/coverage.h"

namespace cordon::policy {

std::vector<Offering> offerings_of(const Policy& policy, const Rule& rule) {
  std::vector<Offering> out;
  for (const Destination& to : rule.to) {
    for (const Access& access : to.accesses)
      out.push_back({.rule = &rule, .segment = to.segment, .service = "", .access = access});
    const auto segment = policy.segments.find(to.segment);
    if (!to.accesses.empty() || segment == policy.segments.end()) continue;
    for (const auto& [name, accesses] : segment->second.services)
      if (to.service.empty() || to.service == name)
        for (const Access& access : accesses)
          out.push_back({.rule = &rule, .segment = to.segment, .service = name, .access = access});
  }
  return out;
}

void ReachMap::paint(const Offering& offering) {
  const Access& access = offering.access;
  if (access.protocol) {
    const auto [it, fresh] = protocols_.try_emplace(*access.protocol);
    if (fresh) it->second.paint({}, any_);
    it->second.paint(access.ports, &offering);
    return;
  }
  any_ = &offering;
  for (auto& [protocol, ports] : protocols_) ports.paint({}, &offering);
}

ReachMap::Runs ReachMap::runs_of(std::uint8_t protocol) const {
  const auto it = protocols_.find(protocol);
  return it == protocols_.end() ? Runs{{PortRange{}, any_}} : it->second.runs();
}

const Offering* ReachMap::at(std::uint8_t protocol, std::uint16_t port) const {
  for (const auto& [range, offering] : runs_of(protocol))
    if (range.first <= port && port <= range.last) return offering;
  return nullptr;
}

bool ReachMap::allows(std::uint8_t protocol, std::uint16_t port) const {
  return is_allow(at(protocol, port));
}

bool ReachMap::allows_nothing() const {
  return !allows_some(Access{});
}

bool ReachMap::allows_some(const Access& access) const {
  const auto allowed = [&](std::uint8_t protocol) {
    return std::ranges::any_of(runs_of(protocol), [&](const auto& run) {
      return is_allow(run.second) &&
             overlap(Access{.protocol = protocol, .ports = run.first}, {protocol, access.ports});
    });
  };
  if (access.protocol) return allowed(*access.protocol);
  return is_allow(any_) || std::ranges::any_of(protocols_, [&](const auto& p) { return allowed(p.first); });
}

std::vector<ReachMap::Difference> ReachMap::compare(const ReachMap& before, const ReachMap& after) {
  std::vector<Difference> out;
  if (is_allow(before.any_) != is_allow(after.any_))
    out.push_back({.access = {}, .before = before.any_, .after = after.any_});
  std::set<std::uint8_t> protocols;
  for (const ReachMap* map : {&before, &after})
    for (const auto& [protocol, ports] : map->protocols_) protocols.insert(protocol);
  for (const std::uint8_t protocol : protocols) {
    const Runs a = before.runs_of(protocol), b = after.runs_of(protocol);
    for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
      const PortRange both{std::max(a[i].first.first, b[j].first.first),
                           std::min(a[i].first.last, b[j].first.last)};
      if (is_allow(a[i].second) != is_allow(b[j].second))
        out.push_back(
            {.access = {.protocol = protocol, .ports = both}, .before = a[i].second, .after = b[j].second});
      const bool a_ends = a[i].first.last == both.last, b_ends = b[j].first.last == both.last;
      i += a_ends;
      j += b_ends;
    }
  }
  return out;
}

}  // namespace cordon::policy
