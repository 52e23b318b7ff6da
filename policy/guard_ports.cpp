#include "policy/guard_ports.h"

#include <algorithm>

#include "policy/port_map.h"

namespace cordon::policy {
namespace {

enum class Guard { none, count, drop };

struct GuardedAccess {
  Access access;
  Guard guard = Guard::count;
};

/// Weakest first, so that the strictest is painted last.
std::vector<GuardedAccess> guarded_accesses(const Selectors& selectors, const Positions& segments) {
  const Underlay enforced = strictest_underlay(selectors, segments);
  std::vector<GuardedAccess> out;
  for (const std::uint32_t s : segments) {
    const Segment& segment = selectors.segment(s);
    const bool drop = segment.mode == Mode::enforce && enforced != Underlay::open;
    for (const auto& [name, accesses] : segment.services)
      for (const Access& access : accesses)
        out.push_back({.access = access, .guard = drop ? Guard::drop : Guard::count});
  }
  std::ranges::sort(out, {}, &GuardedAccess::guard);
  return out;
}

}  // namespace

std::map<GuardKey, GuardValue> guard_ports(const Selectors& selectors, const Positions& segments) {
  // What would be closed if it were enforced is counted whole.
  const bool would_close = std::ranges::any_of(segments, [&](std::uint32_t s) {
    return selectors.segment(s).mode == Mode::observe && selectors.segment(s).underlay == Underlay::closed;
  });
  Guard any = would_close ? Guard::count : Guard::none;
  std::map<std::uint8_t, PortMap<Guard>> protocols;
  const auto accesses = guarded_accesses(selectors, segments);
  for (const auto& [access, guard] : accesses) {
    if (access.protocol)
      protocols[*access.protocol].paint(access.ports, guard);
    else
      any = std::max(any, guard);
  }
  std::map<GuardKey, GuardValue> out;
  if (any != Guard::none) out[{.protocol = 0, .ports = {}}] = {.count_only = any == Guard::count};
  for (const auto& [protocol, ports] : protocols)
    for (const auto& [range, guard] : ports.runs())
      if (guard > any) out[{.protocol = protocol, .ports = range}] = {.count_only = guard == Guard::count};
  return out;
}

Underlay strictest_underlay(const Selectors& selectors, const Positions& segments) {
  Underlay strictest = Underlay::open;
  for (const std::uint32_t s : segments)
    if (selectors.segment(s).mode == Mode::enforce)
      strictest = std::max(strictest, selectors.segment(s).underlay);
  return strictest;
}

}  // namespace cordon::policy
