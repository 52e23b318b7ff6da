#include "policy/week_watch.h"

#include <algorithm>

namespace cordon::policy {
namespace {

using std::chrono::days;

constexpr auto kOneWeek = days(7);
/// A window lasts a day at most, and offsets are a day or so: what is farther away than this from a moment
/// doesn't say whether it is in a window.
constexpr auto kNear = days(8);
/// So far apart, two changes of offset leave an ordinary week between them to be looked at.
constexpr auto kApart = kNear + kOneWeek + kNear;

Timestamp at_most(Timestamp moment, days later) {
  return moment > kNever - later ? kNever : moment + later;
}

}  // namespace

Timestamp WeekWatch::next(Timestamp at, Timestamp others) {
  if (at < others) at = std::min(over_the_known(at, others), others);
  if (at < others) return at;
  // What was looked at before something else changes counts for nothing after it.
  quiet_ = std::max(quiet_, at);
  looked_at_.clear();
  return at;
}

/// From `at` over the weeks that are like one that was looked at.
Timestamp WeekWatch::over_the_known(Timestamp at, Timestamp others) {
  Timestamp odd = offset_change_after(quiet_ - kNear);
  while (odd != kNever && odd <= at_most(at, kNear)) {
    quiet_ = odd + kNear;
    odd = offset_change_after(odd);
  }
  if (at < at_most(quiet_, kOneWeek)) return at;
  while (odd != kNever) {
    const Cluster cluster = cluster_at(odd);
    const bool undisturbed = others > at_most(cluster.last, kNear + kOneWeek);
    if (!undisturbed || looked_at_.insert(cluster.shape).second) return quiet_ = cluster.first - kNear;
    odd = offset_change_after(cluster.last);
  }
  return kNever;
}

Timestamp WeekWatch::offset_change_after(Timestamp moment) const {
  const auto second = std::chrono::floor<Seconds>(moment);
  Timestamp first = kNever;
  for (const TimeZone* zone : zones_) {
    if (zone == nullptr) continue;
    const auto change = zone->next_change(second);
    if (change < std::chrono::floor<Seconds>(kNever)) first = std::min(first, Timestamp(change));
  }
  return first;
}

/// The one that begins with the change at `first`.
WeekWatch::Cluster WeekWatch::cluster_at(Timestamp first) const {
  Cluster out{.first = first, .last = first, .shape = {}};
  out.shape.push_back((out.first.time_since_epoch() % kOneWeek).count());
  add_offsets(out.first - Seconds(1), out.shape);
  add_offsets(out.first, out.shape);
  for (Timestamp more = offset_change_after(out.last); more != kNever && more - out.last <= kApart;
       more = offset_change_after(more)) {
    out.shape.push_back((more - out.last).count());
    add_offsets(more, out.shape);
    out.last = more;
  }
  return out;
}

void WeekWatch::add_offsets(Timestamp moment, std::vector<std::int64_t>& shape) const {
  for (const TimeZone* zone : zones_)
    if (zone != nullptr) shape.push_back(zone->offset_at(std::chrono::floor<Seconds>(moment)).count());
}

}  // namespace cordon::policy
