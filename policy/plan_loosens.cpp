#include "policy/plan_loosens.h"

#include <fmt/format.h>

#include <map>
#include <string>
#include <tuple>

#include "policy/guard_ports.h"
#include "policy/plan_words.h"

namespace cordon::policy {
namespace {

using Kind = PlanWarning::Kind;

bool begins_to_observe(const PlanGroups::Targets& to) {
  return to.observed_after && !to.observed_before;
}

/// Before and after, of devices that are guarded less from then on.
struct UnderlayChange {
  Underlay before = Underlay::open, after = Underlay::open;
  bool opens() const { return after < before; }
};

UnderlayChange underlay_change(const PlanSide& before, const PlanSide& after, const PlanGroups::Targets& to) {
  return {strictest_underlay(before.selectors(), to.before), strictest_underlay(after.selectors(), to.after)};
}

std::string_view underlay_word(Underlay underlay) {
  constexpr std::string_view kWords[] = {"open", "guard", "closed"};
  return kWords[static_cast<std::size_t>(underlay)];
}

}  // namespace

Loosened loosened(const PlanGroups& groups, const PlanSide& before, const PlanSide& after) {
  Loosened out;
  for (const auto& to : groups.target_groups()) {
    if (begins_to_observe(to)) out.observing += to.members.size();
    if (underlay_change(before, after, to).opens()) out.underlays += to.members.size();
  }
  return out;
}

std::vector<PlanWarning> loosening_warnings(const PlanContext& c) {
  std::map<std::string, std::size_t> observing;
  std::map<std::tuple<std::string, Underlay, Underlay>, std::size_t> underlays;
  for (const auto& to : c.groups.target_groups()) {
    if (begins_to_observe(to))
      for (const std::string& name : c.after.names_of(to.after)) observing[name] += to.members.size();
    if (const auto change = underlay_change(c.before, c.after, to); change.opens())
      for (const std::string& name : c.before.names_of(to.before))
        underlays[{name, change.before, change.after}] += to.members.size();
  }
  std::vector<PlanWarning> out;
  for (const auto& [name, devices] : observing)
    out.push_back(
        {.kind = Kind::starts_observing,
         .text = fmt::format("segment {} only observes from now on: {} will accept whatever a known "
                             "principal sends, and report it",
                             name, counted(devices, "device")),
         .lines = {}});
  for (const auto& [place, devices] : underlays) {
    const auto& [name, before, after] = place;
    out.push_back(
        {.kind = Kind::opens_underlay,
         .text = fmt::format(
             "the underlay of {} of segment {} goes from {} to {}: {} around the "
             "overlay",
             counted(devices, "device"), name, underlay_word(before), underlay_word(after),
             after == Underlay::open ? "their services can be reached" : "more than answers can reach them"),
         .lines = {}});
  }
  return out;
}

}  // namespace cordon::policy
