#include "base/time.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits>

namespace cordon {
namespace {

using std::chrono::days;
using std::chrono::microseconds;
using std::chrono::year_month_day;

class SystemClock final : public Clock {
 public:
  Timestamp now() const override {
    return std::chrono::time_point_cast<microseconds>(std::chrono::system_clock::now());
  }
  BootNs boot_ns() const override {
    timespec t{};
    if (clock_gettime(CLOCK_BOOTTIME, &t) != 0) std::abort();  // there since Linux 2.6.39
    return static_cast<BootNs>(t.tv_sec) * 1'000'000'000u + static_cast<BootNs>(t.tv_nsec);
  }
};

// What RFC 3339 can write: years 0000 to 9999.
constexpr Timestamp kFirst = std::chrono::sys_days(std::chrono::year(0) / 1 / 1);
constexpr Timestamp kLast = std::chrono::sys_days(std::chrono::year(10000) / 1 / 1) - microseconds(1);

/// Reads fixed-width fields off the front of a text; `ok` falls and stays down at the first that isn't there.
struct Scanner {
  std::string_view rest;
  bool ok = true;

  int digits(std::size_t count) {
    if (rest.size() < count) ok = false;
    int value = 0;
    for (std::size_t i = 0; ok && i < count; ++i) {
      if (rest[i] < '0' || rest[i] > '9') ok = false;
      value = value * 10 + (rest[i] - '0');
    }
    if (ok) rest.remove_prefix(count);
    return ok ? value : 0;
  }
  /// The next character when it is one of `any`, else '\0' and not ok.
  char one_of(std::string_view any) {
    if (!ok || rest.empty() || !any.contains(rest.front())) {
      ok = false;
      return '\0';
    }
    const char c = rest.front();
    rest.remove_prefix(1);
    return c;
  }
};

/// ".5" to 500000 us; absent is 0. More than six digits can't be kept exactly and are refused.
microseconds scan_fraction(Scanner& in) {
  if (!in.ok || !in.rest.starts_with('.')) return microseconds(0);
  in.rest.remove_prefix(1);
  const std::size_t count = std::min(in.rest.find_first_not_of("0123456789"), in.rest.size());
  if (count == 0 || count > 6) in.ok = false;
  int value = in.digits(count);
  for (std::size_t i = count; i < 6; ++i) value *= 10;
  return microseconds(value);
}

std::unexpected<Error> bad_time(std::string_view text, std::string_view why) {
  return fail(ErrorCode::invalid, fmt::format("'{}' is not a time: {}", text.substr(0, 64), why),
              "write it as 2026-01-05T10:00:00+08:00");
}

struct Unit {
  char letter;
  std::int64_t seconds;
};
constexpr std::array kUnits = {Unit{'d', 86400}, Unit{'h', 3600}, Unit{'m', 60}, Unit{'s', 1}};
// A hundred years: more is a mistake, and sums with any time of RFC 3339 stay far from overflow.
constexpr std::int64_t kLongestDuration = 36500LL * 86400;

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

std::int64_t to_us(Timestamp t) {
  return t.time_since_epoch().count();
}
Timestamp from_us(std::int64_t us) {
  return Timestamp(microseconds(us));
}

Result<Timestamp> parse_rfc3339(std::string_view text) {
  Scanner in{text};
  const int year = in.digits(4);
  in.one_of("-");
  const int month = in.digits(2);
  in.one_of("-");
  const int day = in.digits(2);
  in.one_of("Tt");
  const int hour = in.digits(2);
  in.one_of(":");
  const int minute = in.digits(2);
  in.one_of(":");
  const int second = in.digits(2);
  const microseconds fraction = scan_fraction(in);
  if (!in.ok) return bad_time(text, "date, 'T' and time with seconds are needed, and at most microseconds");

  const char sign = in.one_of("Zz+-");
  if (!in.ok) return bad_time(text, "the offset from UTC is missing");
  std::chrono::minutes offset{0};
  if (sign == '+' || sign == '-') {
    const int offset_hour = in.digits(2);
    in.one_of(":");
    const int offset_minute = in.digits(2);
    if (!in.ok || offset_hour > 23 || offset_minute > 59)
      return bad_time(text, "the offset from UTC is malformed");
    offset = std::chrono::minutes((sign == '-' ? -1 : 1) * (offset_hour * 60 + offset_minute));
  }
  if (!in.rest.empty()) return bad_time(text, "something follows it");

  const year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                            std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return bad_time(text, "there is no such day");
  if (hour > 23 || minute > 59) return bad_time(text, "there is no such time of day");
  if (second > 59) return bad_time(text, "seconds end at 59 (leap seconds have no UTC number here)");
  const Timestamp local = std::chrono::sys_days(date) + std::chrono::hours(hour) +
                          std::chrono::minutes(minute) + std::chrono::seconds(second) + fraction;
  const Timestamp utc = local - offset;
  if (utc < kFirst || utc > kLast) return bad_time(text, "in UTC it leaves the years 0000 to 9999");
  return utc;
}

std::string format_rfc3339(Timestamp t) {
  if (t == kNever) return "never";
  const Timestamp shown = std::clamp(t, kFirst, kLast);
  const auto day = std::chrono::floor<days>(shown);
  const year_month_day date{day};
  const std::int64_t in_day = (shown - Timestamp(day)).count();
  const std::int64_t second = in_day / 1'000'000, fraction = in_day % 1'000'000;
  std::string out = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                                second / 3600, second / 60 % 60, second % 60);
  if (fraction != 0) {
    out += fmt::format(".{:06}", fraction);
    out.erase(out.find_last_not_of('0') + 1);
  }
  return out + "Z";
}

Result<Seconds> parse_duration(std::string_view text) {
  const auto bad = [&](std::string_view why) {
    return fail(ErrorCode::invalid, fmt::format("'{}' is not a duration: {}", text.substr(0, 64), why),
                "write a whole number and one unit: 90s, 15m, 8h or 30d");
  };
  if (text.size() < 2) return bad("a number and a unit are needed");
  const auto unit = std::ranges::find(kUnits, text.back(), &Unit::letter);
  if (unit == kUnits.end()) return bad("the unit is s, m, h or d");
  std::int64_t count = 0;
  for (const char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') return bad("only whole numbers are taken");
    count = count * 10 + (c - '0');
    if (count > kLongestDuration) return bad("it is longer than 36500d");
  }
  if (count == 0) return bad("it must be more than zero");
  if (count > kLongestDuration / unit->seconds) return bad("it is longer than 36500d");
  return Seconds(count * unit->seconds);
}

std::string format_duration(Seconds d) {
  const std::int64_t seconds = d.count();
  if (seconds == 0) return "0s";
  const auto unit = std::ranges::find_if(kUnits, [&](const Unit& u) { return seconds % u.seconds == 0; });
  return fmt::format("{}{}", seconds / unit->seconds, unit->letter);
}

// Both directions count in 128 bits and saturate: a wild deadline from the wire must not wrap around into a
// late one.
BootNs TimeBase::to_boot(Timestamp deadline) const {
  if (deadline == kNever) return kBootNever;
  __extension__ using Wide = __int128;
  const Wide boot = Wide{sent_boot_ns} + (Wide{to_us(deadline)} - Wide{to_us(controller_time)}) * 1000;
  return static_cast<BootNs>(std::clamp<Wide>(boot, 1, Wide{kBootNever} - 1));
}

Timestamp TimeBase::to_utc(BootNs boot) const {
  if (boot == kBootNever) return kNever;
  __extension__ using Wide = __int128;
  Wide since_ns = Wide{boot} - Wide{sent_boot_ns};
  if (since_ns < 0) since_ns -= 999;  // rounds towards the past on both sides of zero
  const Wide us = Wide{to_us(controller_time)} + since_ns / 1000;
  using Limits = std::numeric_limits<std::int64_t>;
  return from_us(static_cast<std::int64_t>(std::clamp<Wide>(us, Limits::min(), Wide{Limits::max()} - 1)));
}

}  // namespace cordon
