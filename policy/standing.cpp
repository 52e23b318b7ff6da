#include "policy/standing.h"

#include <algorithm>
#include <utility>

namespace cordon::policy {
namespace {

constexpr std::chrono::microseconds kNextMoment{1};

/// An allow that holds now.
struct Holding {
  SelectedRule selected;
  Timestamp ends_at;
  Timestamp deadline;  ///< the earlier of that and its lease from now on

  Seconds lease() const { return selected.lease; }
};

/// A forbid that holds now (`begins_at` is now), or from then on.
struct Coming {
  SelectedRule selected;
  Timestamp begins_at;
};

/// When the order of two allows' deadlines changes, if it does: while both leases run out first the longer
/// lease is ahead, until it meets its own end and the other passes it.
struct Crossing {
  Timestamp at = kNever;
  bool tie_differs = false;  ///< they weren't equal before
  bool then_passes = false;  ///< from the next moment on they aren't equal
};
Crossing crossing(const Holding& a, const Holding& b) {
  const bool a_first = a.ends_at != b.ends_at ? a.ends_at < b.ends_at : a.lease() > b.lease();
  const Holding& sooner = a_first ? a : b;
  const Holding& later = a_first ? b : a;
  if (sooner.ends_at == kNever || sooner.lease() < later.lease()) return {};
  return {.at = sooner.ends_at - later.lease(),
          .tie_differs = sooner.lease() != later.lease(),
          .then_passes = sooner.ends_at != later.ends_at};
}

/// One of each lease and end.
std::vector<const Holding*> different(const std::vector<Holding>& allows) {
  std::vector<const Holding*> out;
  for (const Holding& allow : allows)
    if (std::ranges::none_of(out, [&](const Holding* other) {
          return other->ends_at == allow.ends_at && other->lease() == allow.lease();
        }))
      out.push_back(&allow);
  return out;
}

/// The next moment at which time may prefer another allow.
Timestamp next_preference(const std::vector<Holding>& allows, const std::vector<Coming>& forbids,
                          Timestamp now) {
  Timestamp next = kNever;
  if (allows.size() < 2) return next;
  const auto kinds = different(allows);
  if (kinds.size() < 2) return next;
  const auto consider = [&](Timestamp moment) {
    if (moment > now) next = std::min(next, moment);
  };
  for (std::size_t i = 0; i < kinds.size(); ++i)
    for (std::size_t j = i + 1; j < kinds.size(); ++j) {
      const Crossing found = crossing(*kinds[i], *kinds[j]);
      if (found.at == kNever) continue;
      if (found.tie_differs) consider(found.at);
      if (found.then_passes) consider(found.at + kNextMoment);
    }
  for (const Coming& forbid : forbids)
    for (const Holding* allow : kinds)
      if (forbid.begins_at > now && allow->ends_at >= forbid.begins_at)
        consider(forbid.begins_at - allow->lease());
  return next;
}

/// P7: the latest deadline wins, then the lowest name (the order they are in).
void by_preference(std::vector<Holding>& allows) {
  if (!std::ranges::is_sorted(allows, std::ranges::greater{}, &Holding::deadline))
    std::ranges::stable_sort(allows, std::ranges::greater{}, &Holding::deadline);
}

/// Forbids that change nothing: nothing is allowed any more when they begin.
void drop_idle(std::vector<Coming>& forbids, const std::vector<Holding>& allows) {
  std::erase_if(forbids, [&](const Coming& forbid) {
    return std::ranges::none_of(allows,
                                [&](const Holding& allow) { return forbid.begins_at < allow.ends_at; });
  });
}

/// Null when it must be looked at anew.
const Outlook* seen_before(const SeenOutlooks& seen, std::uint32_t rule, Timestamp now) {
  for (const auto& [number, outlook] : seen)
    if (number == rule) return outlook.until > now ? &outlook : nullptr;
  return nullptr;
}

Pattern pattern_of(const std::vector<Holding>& allows, const std::vector<Coming>& forbids,
                   const DeadlineSlots& slots, Timestamp now) {
  Pattern out;
  out.allows.reserve(allows.size());
  for (const Holding& allow : allows)
    out.allows.push_back({.number = allow.selected.number, .slot = slots.slot(allow.ends_at)});
  out.forbids.reserve(forbids.size());
  for (const Coming& forbid : forbids) {
    Pattern::Forbid& to = out.forbids.emplace_back();
    to.number = forbid.selected.number;
    to.holds = forbid.begins_at <= now;
    if (to.holds) continue;
    to.slot = slots.slot(forbid.begins_at);
    while (to.ties < allows.size() && allows[to.ties].deadline >= forbid.begins_at) ++to.ties;
  }
  return out;
}

}  // namespace

SelectedRule selected_rule(const Rule& rule, std::uint32_t number) {
  return {.rule = &rule,
          .number = number,
          .forbids = rule.effect == Effect::forbid,
          .plain = rule.from.device_classes.empty() && !rule.unless && rule.when.empty(),
          .lease = rule.lease};
}

std::size_t PatternHash::operator()(const Pattern& pattern) const {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a, by words
  const auto mix = [&](std::uint64_t word) { hash = (hash ^ word) * 0x100000001b3; };
  for (const Pattern::Allow& allow : pattern.allows) mix(std::uint64_t{allow.number} << 8 | allow.slot);
  mix(UINT64_MAX);
  for (const Pattern::Forbid& forbid : pattern.forbids) {
    mix(std::uint64_t{forbid.number} << 32 | forbid.ties);
    mix(std::uint64_t{forbid.slot} << 1 | (forbid.holds ? 1 : 0));
  }
  return static_cast<std::size_t>(hash ^ hash >> 32);
}

Standing standing_of(const Policy& policy, std::span<const SelectedRule> rules, const Asker& asker,
                     Timestamp ends_at, Timestamp now, SeenOutlooks* last) {
  Standing standing{.changes_at = ends_at};
  // Used again and again: of tens of thousands of principals, making these anew would cost the most.
  thread_local std::vector<Holding> allows;
  thread_local std::vector<Coming> forbids;
  thread_local SeenOutlooks looked_at;
  allows.clear();
  forbids.clear();
  looked_at.clear();
  for (const SelectedRule& selected : rules) {
    Outlook seen{.holds = true};
    if (!selected.plain) {
      const Outlook* known = last != nullptr ? seen_before(*last, selected.number, now) : nullptr;
      seen = known != nullptr ? *known : outlook(policy, *selected.rule, asker, now);
      if (last != nullptr) looked_at.emplace_back(selected.number, seen);
    }
    standing.changes_at = std::min(standing.changes_at, seen.until);
    if (selected.forbids) {
      const Timestamp begins_at = seen.holds ? now : seen.until;
      if (begins_at < ends_at) forbids.push_back({.selected = selected, .begins_at = begins_at});
    } else if (seen.holds) {
      const Timestamp until = std::min(seen.until, ends_at);
      allows.push_back(
          {.selected = selected, .ends_at = until, .deadline = std::min(until, now + selected.lease)});
    }
  }
  if (last != nullptr) *last = looked_at;
  drop_idle(forbids, allows);
  by_preference(allows);
  standing.changes_at = std::min(standing.changes_at, next_preference(allows, forbids, now));

  std::vector<Timestamp> deadlines{ends_at};
  deadlines.reserve(1 + allows.size() + forbids.size());
  for (const Holding& allow : allows) deadlines.push_back(allow.ends_at);
  for (const Coming& forbid : forbids)
    if (forbid.begins_at > now) deadlines.push_back(forbid.begins_at);
  const DeadlineSlots slots(std::move(deadlines));
  standing.deadlines = slots.values();
  standing.pattern = pattern_of(allows, forbids, slots, now);
  return standing;
}

}  // namespace cordon::policy
