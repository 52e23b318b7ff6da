#include "policy/hours.h"

#include <fmt/format.h>

#include <algorithm>
#include <bitset>
#include <chrono>

namespace cordon::policy {
namespace {

using std::chrono::days;
using std::chrono::local_days;
using std::chrono::local_seconds;
using std::chrono::minutes;
using std::chrono::sys_seconds;

constexpr int kMinutesADay = 24 * 60, kMinutesAWeek = 7 * kMinutesADay;
/// More than any zone ever was away from UTC (some 16 hours).
constexpr auto kFarthestOffset = std::chrono::hours(26);
/// A window of the day before may last into today; where a zone skipped or repeated a day, one more on each
/// side.
constexpr auto kDaysBefore = days(2), kDaysAfter = days(1);
/// What is farther away than this doesn't touch the windows that are looked at around a moment.
constexpr auto kAround = days(5);

struct Interval {
  sys_seconds start, end;  ///< the end is out
};

enum class Which { first, last };

/// When the wall shows `local`.
sys_seconds moment_of(const TimeZone& zone, local_seconds local, Which which) {
  const sys_seconds as_utc(local.time_since_epoch());
  const sys_seconds from = as_utc - kFarthestOffset, to = as_utc + kFarthestOffset;
  if (zone.next_change(from) > to) return as_utc - zone.offset_at(from);
  std::optional<sys_seconds> found, skipped_at;
  for (sys_seconds begin = from; begin < to;) {
    const sys_seconds end = std::min(zone.next_change(begin), to);
    const sys_seconds moment = as_utc - zone.offset_at(begin);
    if (begin <= moment && moment < end) {
      found = moment;
      if (which == Which::first) break;
    } else if (moment < begin && !skipped_at) {
      skipped_at = begin;  // counts only if no span shows it
    }
    begin = end;
  }
  return found ? *found : skipped_at.value_or(as_utc);
}

local_seconds wall(const TimeZone& zone, sys_seconds moment) {
  return local_seconds((moment + zone.offset_at(moment)).time_since_epoch());
}

bool starts_on(const HoursWindow& window, local_days day) {
  return window.days >> (std::chrono::weekday(day).iso_encoding() - 1) & 1;
}

int length(const HoursWindow& window) {
  return window.end > window.start ? window.end - window.start : window.end + kMinutesADay - window.start;
}

/// The one offset that a zone has around `moment`; none: it changes.
std::optional<Seconds> steady_offset(const TimeZone& zone, sys_seconds moment) {
  if (zone.next_change(moment - kAround) <= moment + kAround) return std::nullopt;
  return zone.offset_at(moment);
}

Interval interval_of(const TimeZone& zone, std::optional<Seconds> steady, const HoursWindow& window,
                     local_days day) {
  const local_seconds start = day + minutes(window.start);
  if (steady) {
    const sys_seconds begin = sys_seconds(start.time_since_epoch()) - *steady;
    return {.start = begin, .end = begin + minutes(length(window))};
  }
  return {.start = moment_of(zone, start, Which::first),
          .end = moment_of(zone, start + minutes(length(window)), Which::last)};
}

/// The latest end of the windows that `moment` is in; `moment` itself: it is in none.
sys_seconds end_around(const Hours& hours, sys_seconds moment) {
  sys_seconds latest = moment;
  const local_days today = std::chrono::floor<days>(wall(*hours.zone, moment));
  const auto steady = steady_offset(*hours.zone, moment);
  for (local_days day = today - kDaysBefore; day <= today + kDaysAfter; day += days(1))
    for (const HoursWindow& window : hours.windows) {
      if (!starts_on(window, day)) continue;
      const Interval interval = interval_of(*hours.zone, steady, window, day);
      if (interval.start <= moment && moment < interval.end) latest = std::max(latest, interval.end);
    }
  return latest;
}

/// The first start of a window after `moment`, which is in none. There is one: a window that a change of
/// offset swallows comes again a week later, and a zone's table ends.
sys_seconds next_start(const Hours& hours, sys_seconds moment) {
  const local_days today = std::chrono::floor<days>(wall(*hours.zone, moment));
  for (local_days day = today - kDaysBefore;; day += days(1)) {
    auto earliest = sys_seconds::max();
    const auto steady = steady_offset(*hours.zone, sys_seconds(day.time_since_epoch()));
    for (const HoursWindow& window : hours.windows) {
      if (!starts_on(window, day)) continue;
      const Interval interval = interval_of(*hours.zone, steady, window, day);
      if (interval.start > moment && interval.start < interval.end)
        earliest = std::min(earliest, interval.start);
    }
    if (earliest != sys_seconds::max()) return earliest;
  }
}

/// Does the wall show one of the windows at every minute of every week?
bool always(const std::vector<HoursWindow>& windows) {
  int sum = 0;
  for (const HoursWindow& window : windows) sum += std::popcount(window.days) * length(window);
  if (sum < kMinutesAWeek) return false;
  std::bitset<kMinutesAWeek> covered;
  for (const HoursWindow& window : windows)
    for (int day = 0; day < 7; ++day)
      if (window.days >> day & 1)
        for (int minute = 0; minute < length(window); ++minute)
          covered.set(static_cast<std::size_t>((day * kMinutesADay + window.start + minute) % kMinutesAWeek));
  return covered.all();
}

constexpr std::array kDayNames{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};

/// "*", "Mon-Fri", "Sat,Sun", "Mon-Wed,Fri"
std::string names_of_days(std::uint8_t bits) {
  if (bits == 0x7f) return "*";
  std::string out;
  for (std::size_t day = 0; day < 7; ++day) {
    if (!(bits >> day & 1)) continue;
    std::size_t last = day;
    while (last + 1 < 7 && (bits >> (last + 1) & 1)) ++last;
    if (!out.empty()) out += ',';
    out += kDayNames[day];
    if (last == day + 1) out += fmt::format(",{}", kDayNames[last]);
    if (last > day + 1) out += fmt::format("-{}", kDayNames[last]);
    day = last;
  }
  return out;
}

}  // namespace

bool in_hours(const Hours& hours, Timestamp now) {
  const auto moment = std::chrono::floor<Seconds>(now);  // windows start and end at whole seconds
  return end_around(hours, moment) != moment;
}

Outlook outlook_of(const Hours& hours, Timestamp now) {
  if (always(hours.windows)) return {.holds = true, .until = kNever};
  const auto moment = std::chrono::floor<Seconds>(now);
  const sys_seconds first_end = end_around(hours, moment);
  if (first_end == moment) return {.holds = false, .until = next_start(hours, moment)};
  // Some minute of the week is in no window, so it ends.
  sys_seconds last = moment, end = first_end;
  while (end != last) end = end_around(hours, last = end);
  return {.holds = true, .until = end};
}

std::string to_string(const Hours& hours) {
  std::string out;
  for (const HoursWindow& window : hours.windows)
    out += fmt::format("{}{} {:02}:{:02}-{:02}:{:02}", out.empty() ? "" : " or ", names_of_days(window.days),
                       window.start / 60, window.start % 60, window.end / 60, window.end % 60);
  return fmt::format("{}, {}", out, hours.zone->name());
}

std::string wall_time(const TimeZone& zone, Timestamp now) {
  const local_seconds local = wall(zone, std::chrono::floor<Seconds>(now));
  const auto day = std::chrono::floor<days>(local);
  const auto minute = std::chrono::floor<minutes>(local - day).count();
  return fmt::format("{} {:02}:{:02}, {}", kDayNames[std::chrono::weekday(day).iso_encoding() - 1],
                     minute / 60, minute % 60, zone.name());
}

}  // namespace cordon::policy
