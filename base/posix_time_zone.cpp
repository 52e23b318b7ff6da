#include "base/posix_time_zone.h"

#include <algorithm>
#include <optional>

namespace cordon {
namespace {

using std::chrono::days;
using std::chrono::sys_days;
using std::chrono::sys_seconds;

/// A day of the year: M.w.d (month, week from 1, 5: the last; day from Sunday), Jn (1..365, no 29 February)
/// or n (0..365); and the wall time on it.
struct Day {
  enum class Kind { month_week_day, without_leap_day, with_leap_day } kind = Kind::month_week_day;
  unsigned month = 1, week = 1, weekday = 0;
  int number = 0;
  Seconds time{2 * 3600};
};

/// Reads the line from the front; `ok` falls and stays down at the first thing that isn't there.
struct PosixScanner {
  std::string_view rest;
  bool ok = true;

  bool take(char c) {
    if (!ok || !rest.starts_with(c)) return false;
    rest.remove_prefix(1);
    return true;
  }
  int number(int most) {
    int value = 0;
    std::size_t digits = 0;
    for (; digits < rest.size() && rest[digits] >= '0' && rest[digits] <= '9' && value <= most; ++digits)
      value = value * 10 + (rest[digits] - '0');
    ok = ok && digits > 0 && value <= most;
    if (ok) rest.remove_prefix(digits);
    return ok ? value : 0;
  }
  /// "CET" or "<+03>"
  void name() {
    const bool quoted = take('<');
    std::size_t length = 0;
    while (length < rest.size() &&
           (quoted ? rest[length] != '>'
                   : std::string_view("+-,0123456789").find(rest[length]) == std::string_view::npos))
      ++length;
    ok = ok && length > 0;
    rest.remove_prefix(length);
    if (quoted && !take('>')) ok = false;
  }
  /// "2", "-1:30", "+167:59:59"
  Seconds time() {
    const bool negative = take('-');
    if (!negative) take('+');
    Seconds value(number(167) * 3600);
    if (take(':')) value += Seconds(number(59) * 60);
    if (take(':')) value += Seconds(number(59));
    return negative ? -value : value;
  }
  Day day() {
    Day out;
    if (take('M')) {
      out.month = static_cast<unsigned>(number(12));
      ok = take('.') && ok;
      out.week = static_cast<unsigned>(number(5));
      ok = take('.') && ok;
      out.weekday = static_cast<unsigned>(number(6));
      ok = ok && out.month >= 1 && out.week >= 1;
    } else if (take('J')) {
      out.kind = Day::Kind::without_leap_day;
      out.number = number(365);
      ok = ok && out.number >= 1;
    } else {
      out.kind = Day::Kind::with_leap_day;
      out.number = number(365);
    }
    if (take('/')) out.time = time();
    return out;
  }
};

struct Rule {
  Seconds standard{}, daylight{};
  Day start, end;
};

/// Nothing: there is no daylight saving, or it can't be read.
std::optional<Rule> parse(std::string_view text) {
  PosixScanner in{text};
  Rule rule;
  in.name();
  rule.standard = -in.time();  // POSIX counts westwards
  if (!in.ok || in.rest.empty()) return std::nullopt;
  in.name();
  rule.daylight = in.rest.starts_with(',') ? rule.standard + Seconds(3600) : -in.time();
  if (!in.take(',')) return std::nullopt;
  rule.start = in.day();
  if (!in.take(',')) return std::nullopt;
  rule.end = in.day();
  if (!in.ok || !in.rest.empty()) return std::nullopt;
  return rule;
}

/// The wall time at which a day of that year brings the change, as if it were UTC.
sys_seconds wall_of(const Day& day, int year) {
  const std::chrono::year y(year);
  const sys_days new_year = sys_days(y / 1 / 1);
  if (day.kind == Day::Kind::with_leap_day) return new_year + days(day.number) + day.time;
  if (day.kind == Day::Kind::without_leap_day) {
    const bool after_leap_day = y.is_leap() && day.number >= 60;
    return new_year + days(day.number - 1 + (after_leap_day ? 1 : 0)) + day.time;
  }
  const std::chrono::weekday weekday(day.weekday);
  const std::chrono::month month(day.month);
  const sys_days found = day.week == 5 ? sys_days(y / month / weekday[std::chrono::last])
                                       : sys_days(y / month / weekday[day.week]);
  return found + day.time;
}

}  // namespace

std::vector<TimeZone::Span> spans_of_rule(std::string_view text, int first, int last) {
  std::vector<TimeZone::Span> spans;
  const auto rule = parse(text);
  if (!rule) return spans;
  for (int year = first; year <= last; ++year) {
    spans.push_back({wall_of(rule->start, year) - rule->standard, rule->daylight});
    spans.push_back({wall_of(rule->end, year) - rule->daylight, rule->standard});
  }
  std::ranges::sort(spans, {}, &TimeZone::Span::begin);
  return spans;
}

}  // namespace cordon
