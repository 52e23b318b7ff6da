// parse_hours() of policy/read_conditions.h.

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "policy/read_conditions.h"
#include "policy/wording.h"

namespace cordon::policy {
namespace {

constexpr std::array<std::string_view, 7> kDays{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
constexpr std::uint8_t kEveryDay = 0x7f;
constexpr std::string_view kBlanks = " \t";

std::unexpected<Error> bad_hours(std::string_view text, std::string why) {
  return fail(ErrorCode::invalid, fmt::format("hours {}: {}", in_quotes(text), why),
              "write days and a window, such as \"Mon-Fri 08:00-18:00\", \"Sat,Sun 22:00-06:00\" or \"* "
              "00:00-00:00\"");
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::optional<unsigned> day_of(std::string_view text) {
  const auto day = std::ranges::find(kDays, text);
  if (day == kDays.end()) return std::nullopt;
  return static_cast<unsigned>(day - kDays.begin());
}

/// "Mon" or "Fri-Mon", which wraps.
std::optional<std::uint8_t> days_of_item(std::string_view text) {
  const auto dash = text.find('-');
  const auto first = day_of(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : day_of(text.substr(dash + 1));
  if (!first || !last) return std::nullopt;
  std::uint8_t days = 0;
  for (unsigned day = *first;; day = (day + 1) % 7) {
    days = static_cast<std::uint8_t>(days | 1u << day);
    if (day == *last) return days;
  }
}

Result<std::uint8_t> days_of(std::string_view whole, std::string_view text) {
  if (text == "*") return kEveryDay;
  std::uint8_t days = 0;
  for (;;) {
    const auto comma = text.find(',');
    const std::string_view item = trimmed(text.substr(0, comma));
    const auto found = days_of_item(item);
    if (!found)
      return bad_hours(whole, fmt::format("{} is no day or range of days (Mon, Tue, Wed, Thu, Fri, Sat, Sun)",
                                          in_quotes(item)));
    days |= *found;
    if (comma == std::string_view::npos) return days;
    text.remove_prefix(comma + 1);
  }
}

/// "HH:MM" to minutes of the day.
std::optional<std::uint16_t> minute_of(std::string_view text) {
  if (text.size() != 5 || text[2] != ':') return std::nullopt;
  for (const std::size_t i : {0u, 1u, 3u, 4u})
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
  const int hour = (text[0] - '0') * 10 + (text[1] - '0'), minute = (text[3] - '0') * 10 + (text[4] - '0');
  if (hour > 23 || minute > 59) return std::nullopt;
  return static_cast<std::uint16_t>(hour * 60 + minute);
}

}  // namespace

Result<HoursWindow> parse_hours(std::string_view text) {
  const std::string_view whole = trimmed(text);
  const auto blank = whole.find_last_of(kBlanks);
  if (blank == std::string_view::npos) return bad_hours(text, "days and a window are needed");
  HoursWindow window;
  CORDON_ASSIGN(window.days, days_of(text, trimmed(whole.substr(0, blank))));
  const std::string_view times = whole.substr(blank + 1);
  const auto dash = times.find('-');
  if (dash == std::string_view::npos) return bad_hours(text, "the window has no end");
  for (const std::string_view time : {times.substr(0, dash), times.substr(dash + 1)})
    if (!minute_of(time))
      return bad_hours(text, fmt::format("{} is no time of day from 00:00 to 23:59{}", in_quotes(time),
                                         time == "24:00" ? " (midnight is 00:00, at the end too)" : ""));
  window.start = *minute_of(times.substr(0, dash));
  window.end = *minute_of(times.substr(dash + 1));
  return window;
}

}  // namespace cordon::policy
