#include "policy/coverage.h"

namespace cordon::policy {

std::vector<Access> accesses_of(const Policy& policy, const Destination& destination) {
  if (!destination.accesses.empty()) return destination.accesses;
  std::vector<Access> all;
  const auto segment = policy.segments.find(destination.segment);
  if (segment == policy.segments.end()) return all;
  for (const auto& [name, accesses] : segment->second.services)
    if (destination.service.empty() || destination.service == name)
      all.insert(all.end(), accesses.begin(), accesses.end());
  return all;
}

bool covers(const Access& access, std::uint8_t protocol, std::uint16_t port) {
  if (!access.protocol) return true;
  return *access.protocol == protocol && access.ports.first <= port && port <= access.ports.last;
}

bool covers(const Access& outer, const Access& inner) {
  if (!outer.protocol) return true;
  return outer.protocol == inner.protocol && outer.ports.first <= inner.ports.first &&
         inner.ports.last <= outer.ports.last;
}

bool overlap(const Access& a, const Access& b) {
  if (!a.protocol || !b.protocol) return true;
  return a.protocol == b.protocol && a.ports.first <= b.ports.last && b.ports.first <= a.ports.last;
}

}  // namespace cordon::policy
