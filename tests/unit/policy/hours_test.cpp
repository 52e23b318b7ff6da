// P11: windows of wall time, and the system's tz database as C's localtime_r reads it.

#include "policy/hours.h"

#include <gtest/gtest.h>
#include <stdlib.h>  // setenv
#include <time.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "tests/support/world_builder.h"

namespace cordon::test {
namespace hours_test {

using policy::Hours;
using policy::HoursWindow;
using policy::in_hours;
using policy::Outlook;
using policy::outlook_of;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::sys_seconds;

Timestamp at(const char* text) {
  return parse_rfc3339(text).value();
}

/// The windows as the language reads them.
Hours hours_of(const std::string& windows, const std::string& zone) {
  const auto policy = policy_of({{"p.toml", fmt::format(R"(
[segments.s]
members = ["tag:s"]
[[allow]]
name = "a"
from = {{ tags = ["t"] }}
to = ["s tcp/1"]
when = {{ hours = {}, timezone = "{}" }}
)",
                                                        windows, zone)}});
  return *policy->rules.at(0).when.hours;
}

void expect_window(const Hours& hours, const char* start, const char* end) {
  EXPECT_FALSE(in_hours(hours, at(start) - std::chrono::microseconds(1))) << start;
  EXPECT_TRUE(in_hours(hours, at(start))) << start;
  EXPECT_TRUE(in_hours(hours, at(end) - std::chrono::microseconds(1))) << end;
  EXPECT_FALSE(in_hours(hours, at(end))) << end;
  const Outlook before = outlook_of(hours, at(start) - Seconds(1));
  EXPECT_EQ(format_rfc3339(before.until), format_rfc3339(at(start)));
  const Outlook within = outlook_of(hours, at(start));
  EXPECT_TRUE(within.holds);
  EXPECT_EQ(format_rfc3339(within.until), format_rfc3339(at(end)));
}

TEST(Hours, P11_AreEvaluatedInTheirZone) {
  expect_window(hours_of(R"("Mon-Fri 08:00-18:00")", "Asia/Taipei"), "2026-01-05T08:00:00+08:00",
                "2026-01-05T18:00:00+08:00");
}

TEST(Hours, P11_TheDayIsTheZonesToo) {
  // Monday in Taipei begins on Sunday in UTC.
  expect_window(hours_of(R"("Mon 00:00-01:00")", "Asia/Taipei"), "2026-01-04T16:00:00Z",
                "2026-01-04T17:00:00Z");
}

TEST(Hours, P11_AWindowMayPassMidnight) {
  const Hours night = hours_of(R"("Fri 22:00-06:00")", "UTC");
  expect_window(night, "2026-01-09T22:00:00Z", "2026-01-10T06:00:00Z");
  EXPECT_FALSE(in_hours(night, at("2026-01-09T05:00:00Z"))) << "that night began on Thursday";
}

TEST(Hours, P11_FromSundayToMonday) {
  expect_window(hours_of(R"("Sun 23:00-01:00")", "UTC"), "2026-01-04T23:00:00Z", "2026-01-05T01:00:00Z");
}

TEST(Hours, P11_AnEndAtTheStartIsADayLater) {
  expect_window(hours_of(R"("Wed 09:00-09:00")", "UTC"), "2026-01-07T09:00:00Z", "2026-01-08T09:00:00Z");
}

TEST(Hours, P11_YearEndsAndLeapDays) {
  expect_window(hours_of(R"("Wed 23:00-02:00")", "UTC"), "2025-12-31T23:00:00Z", "2026-01-01T02:00:00Z");
  expect_window(hours_of(R"("Thu 08:00-09:00")", "UTC"), "2024-02-29T08:00:00Z", "2024-02-29T09:00:00Z");
  expect_window(hours_of(R"("Wed 23:30-00:30")", "UTC"), "2024-02-28T23:30:00Z", "2024-02-29T00:30:00Z");
  expect_window(hours_of(R"("Thu 23:30-00:30")", "UTC"), "2024-02-29T23:30:00Z", "2024-03-01T00:30:00Z");
}

TEST(Hours, P7_AdjoiningWindowsAreOne) {
  expect_window(hours_of(R"(["Mon 08:00-12:00", "Mon 12:00-13:00", "Mon 12:30-18:00"])", "UTC"),
                "2026-01-05T08:00:00Z", "2026-01-05T18:00:00Z");
  expect_window(hours_of(R"("Mon-Wed 00:00-00:00")", "UTC"), "2026-01-05T00:00:00Z", "2026-01-08T00:00:00Z");
}

TEST(Hours, P7_WindowsThatTogetherAreTheWholeWeekNeverEnd) {
  const Outlook always = outlook_of(hours_of(R"(["* 06:00-18:00", "* 18:00-06:00"])", "Europe/Berlin"), kNow);
  EXPECT_TRUE(always.holds);
  EXPECT_EQ(always.until, kNever);
  EXPECT_NE(outlook_of(hours_of(R"(["* 06:00-18:00", "* 18:00-05:59"])", "Europe/Berlin"), kNow).until,
            kNever);
}

TEST(Hours, P11_SpringForward) {
  // Berlin, 2026-03-29: 02:00 +01:00 becomes 03:00 +02:00.
  expect_window(hours_of(R"("Sun 01:00-04:00")", "Europe/Berlin"), "2026-03-29T01:00:00+01:00",
                "2026-03-29T04:00:00+02:00");
  expect_window(hours_of(R"("Sun 02:30-04:00")", "Europe/Berlin"), "2026-03-29T03:00:00+02:00",
                "2026-03-29T04:00:00+02:00");
  expect_window(hours_of(R"("Sun 01:00-02:30")", "Europe/Berlin"), "2026-03-29T01:00:00+01:00",
                "2026-03-29T03:00:00+02:00");
}

TEST(Hours, P11_AWindowThatTheSpringSwallowsComesAWeekLater) {
  const Hours swallowed = hours_of(R"("Sun 02:10-02:50")", "Europe/Berlin");
  const Outlook outlook = outlook_of(swallowed, at("2026-03-28T12:00:00Z"));
  EXPECT_FALSE(outlook.holds);
  EXPECT_EQ(outlook.until, at("2026-04-05T02:10:00+02:00"));
}

TEST(Hours, P11_FallBack) {
  // Berlin, 2026-10-25: 03:00 +02:00 becomes 02:00 +01:00; from 02:00 to 03:00 the wall comes twice.
  expect_window(hours_of(R"("Sun 02:30-05:00")", "Europe/Berlin"), "2026-10-25T02:30:00+02:00",
                "2026-10-25T05:00:00+01:00");
  expect_window(hours_of(R"("Sun 01:00-02:30")", "Europe/Berlin"), "2026-10-25T01:00:00+02:00",
                "2026-10-25T02:30:00+01:00");
  expect_window(hours_of(R"("Sun 02:10-02:20")", "Europe/Berlin"), "2026-10-25T02:10:00+02:00",
                "2026-10-25T02:20:00+01:00");
}

TEST(Hours, P11_HalfAnHourOfDaylightSaving) {
  // Lord Howe, 2026-04-05: 02:00 +11:00 becomes 01:30 +10:30.
  expect_window(hours_of(R"("Sun 01:00-02:00")", "Australia/Lord_Howe"), "2026-04-05T01:00:00+11:00",
                "2026-04-05T02:00:00+10:30");
}

TEST(Hours, P11_ADayThatAZoneSkipped) {
  // Samoa went from Thursday 2011-12-29 straight to Saturday the 31st.
  const Hours friday = hours_of(R"("Fri 08:00-18:00")", "Pacific/Apia");
  const Outlook outlook = outlook_of(friday, at("2011-12-29T12:00:00-10:00"));
  EXPECT_FALSE(outlook.holds);
  EXPECT_EQ(outlook.until, at("2012-01-06T08:00:00+14:00"));
}

TEST(Hours, AreToldAsTheyAreWritten) {
  EXPECT_EQ(to_string(hours_of(R"(["Mon-Fri 08:00-18:00", "Sat,Sun 09:30-02:00"])", "Asia/Taipei")),
            "Mon-Fri 08:00-18:00 or Sat,Sun 09:30-02:00, Asia/Taipei");
  EXPECT_EQ(to_string(hours_of(R"("* 00:00-00:00")", "UTC")), "* 00:00-00:00, UTC");
  EXPECT_EQ(policy::wall_time(*hours_of(R"("* 00:00-01:00")", "Asia/Taipei").zone, kNow),
            "Mon 18:00, Asia/Taipei");
}

/// The wall as C's library reads the same database.
class SystemWall {
 public:
  explicit SystemWall(const char* zone) {
    const char* before = getenv("TZ");  // tests of a binary run one after another
    if (before) before_ = before;
    setenv("TZ", zone, 1);
    tzset();
  }
  ~SystemWall() {
    before_.empty() ? unsetenv("TZ") : setenv("TZ", before_.c_str(), 1);
    tzset();
  }
  SystemWall(const SystemWall&) = delete;
  SystemWall& operator=(const SystemWall&) = delete;

  tm at(sys_seconds moment) const {
    const time_t seconds = moment.time_since_epoch().count();
    tm out{};
    localtime_r(&seconds, &out);
    return out;
  }

 private:
  std::string before_;
};

struct ZoneAndMoments {
  const char* zone;
  const char* from;
  const char* to;
};

class SystemZones : public testing::TestWithParam<ZoneAndMoments> {};

/// Where the wall doesn't jump, a moment is in a window when the wall says so, minute by minute.
TEST_P(SystemZones, P11_AgreeWithTheSystemsLocalTime) {
  const auto& [zone, from, to] = GetParam();
  const SystemWall wall(zone);
  Hours hours{.windows = {HoursWindow{.days = 0b0011111, .start = 8 * 60, .end = 18 * 60},
                          HoursWindow{.days = 0b1100000, .start = 22 * 60, .end = 6 * 60}},
              .zone = system_time_zones().find(zone)};
  ASSERT_TRUE(hours.zone);
  const auto start = std::chrono::floor<Seconds>(at(from)), end = std::chrono::floor<Seconds>(at(to));
  for (sys_seconds moment = start; moment < end; moment += minutes(7)) {
    const tm local = wall.at(moment);
    const int day = (local.tm_wday + 6) % 7, minute = local.tm_hour * 60 + local.tm_min;
    const bool workday = day < 5 && minute >= 8 * 60 && minute < 18 * 60;
    const bool night = (day >= 5 && minute >= 22 * 60) || ((day == 6 || day == 0) && minute < 6 * 60);
    ASSERT_EQ(in_hours(hours, moment), workday || night)
        << zone << " " << format_rfc3339(moment) << " " << day << " " << minute;
    ASSERT_EQ(hours.zone->offset_at(moment).count(), local.tm_gmtoff)
        << zone << " " << format_rfc3339(moment);
  }
}

/// Every five minutes of some days and what the wall showed, and the windows worked out of that by looking.
class WallTable {
 public:
  WallTable(const SystemWall& wall, sys_seconds from, sys_seconds to) {
    for (sys_seconds moment = from; moment < to; moment += minutes(5))
      rows_.push_back({moment, moment.time_since_epoch() + Seconds(wall.at(moment).tm_gmtoff)});
  }

  bool in(const Hours& hours, sys_seconds moment) const {
    for (auto day = std::chrono::floor<std::chrono::days>(moment) - std::chrono::days(3);
         day < moment + std::chrono::days(2); day += std::chrono::days(1))
      for (const HoursWindow& window : hours.windows) {
        if (!(window.days >> (std::chrono::weekday(day).iso_encoding() - 1) & 1)) continue;
        const auto start = day.time_since_epoch() + minutes(window.start);
        const auto end = day.time_since_epoch() + minutes(window.end) +
                         std::chrono::days(window.end <= window.start ? 1 : 0);
        if (first(start) <= moment && moment < last(end)) return true;
      }
    return false;
  }

 private:
  struct Row {
    sys_seconds moment;
    Seconds local;
  };
  sys_seconds first(Seconds local) const {
    const auto [known, is_new] = first_.try_emplace(local);
    if (is_new)
      known->second = std::ranges::find_if(rows_, [&](const Row& row) { return row.local >= local; })->moment;
    return known->second;
  }
  sys_seconds last(Seconds local) const {
    const auto [known, is_new] = last_.try_emplace(local);
    if (is_new) known->second = look_for_last(local);
    return known->second;
  }
  sys_seconds look_for_last(Seconds local) const {
    for (auto row = rows_.rbegin(); row != rows_.rend(); ++row)
      if (row->local == local) return row->moment;
    return first(local);  // it was skipped
  }
  std::vector<Row> rows_;
  mutable std::map<Seconds, sys_seconds> first_, last_;  ///< the same few are asked for again and again
};

/// Also where the wall jumps; and from edge to edge nothing is left out and nothing invented.
TEST_P(SystemZones, P7_EdgesAreWhereTheWallSaysSo) {
  const auto& [zone, from, to] = GetParam();
  const SystemWall wall(zone);
  const Hours hours{.windows = {HoursWindow{.days = 0b0011111, .start = 1 * 60 + 15, .end = 2 * 60 + 45},
                                HoursWindow{.days = 0b1100001, .start = 2 * 60 + 30, .end = 1 * 60},
                                HoursWindow{.days = 0b1000100, .start = 23 * 60 + 30, .end = 2 * 60}},
                    .zone = system_time_zones().find(zone)};
  const auto start = std::chrono::floor<Seconds>(at(from));
  const auto end = std::min(std::chrono::floor<Seconds>(at(to)), start + std::chrono::days(12));
  const WallTable table(wall, start - std::chrono::days(6), end + std::chrono::days(6));
  Outlook outlook = outlook_of(hours, start);
  for (sys_seconds moment = start; moment < end; moment += minutes(5)) {
    if (outlook.until <= moment) {
      ASSERT_EQ(outlook.until, moment) << zone;  // every edge here is on a whole five minutes
      const bool held = outlook.holds;
      outlook = outlook_of(hours, moment);
      ASSERT_NE(outlook.holds, held) << zone << " " << format_rfc3339(moment);
    }
    ASSERT_EQ(outlook.holds, table.in(hours, moment)) << zone << " " << format_rfc3339(moment);
    ASSERT_EQ(in_hours(hours, moment), outlook.holds) << zone << " " << format_rfc3339(moment);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Zones, SystemZones,
    testing::Values(ZoneAndMoments{"UTC", "2023-12-30T00:00:00Z", "2024-03-02T00:00:00Z"},
                    ZoneAndMoments{"Asia/Taipei", "2025-12-20T00:00:00Z", "2026-01-10T00:00:00Z"},
                    ZoneAndMoments{"Europe/Berlin", "2026-03-25T00:00:00Z", "2026-04-02T00:00:00Z"},
                    ZoneAndMoments{"Europe/Berlin", "2026-10-20T00:00:00Z", "2026-10-28T00:00:00Z"},
                    ZoneAndMoments{"America/New_York", "2026-03-05T00:00:00Z", "2026-03-12T00:00:00Z"},
                    ZoneAndMoments{"America/New_York", "2026-10-28T00:00:00Z", "2026-11-05T00:00:00Z"},
                    ZoneAndMoments{"Australia/Lord_Howe", "2026-04-01T00:00:00Z", "2026-04-08T00:00:00Z"},
                    ZoneAndMoments{"Asia/Kathmandu", "2026-01-01T00:00:00Z", "2026-01-09T00:00:00Z"},
                    ZoneAndMoments{"Africa/Casablanca", "2026-02-10T00:00:00Z", "2026-03-30T00:00:00Z"},
                    ZoneAndMoments{"Pacific/Apia", "2011-12-25T00:00:00Z", "2012-01-05T00:00:00Z"}));

}  // namespace hours_test
}  // namespace cordon::test
