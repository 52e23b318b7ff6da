#include "base/time_zone.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <time.h>

#include <algorithm>

#include "base/posix_time_zone.h"

namespace cordon {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::sys_days;
using std::chrono::sys_seconds;
using std::chrono::year;

TEST(TimeZones, KnowTheSystemsNames) {
  const TimeZones& zones = system_time_zones();
  const auto names = zones.names();
  EXPECT_TRUE(std::ranges::find(names, "Asia/Taipei") != names.end());
  ASSERT_NE(zones.find("Asia/Taipei"), nullptr);
  EXPECT_EQ(zones.find("Asia/Taipei"), zones.find("Asia/Taipei")) << "read once";
  EXPECT_EQ(zones.find("Asia/Taipei")->name(), "Asia/Taipei");
  EXPECT_NE(zones.version(), "");
}

TEST(TimeZones, NothingElseIsAZone) {
  for (const char* name :
       {"", "Taipei", "Asia/", "asia/taipei", "../../../etc/passwd", "/etc/passwd", "Asia/Taipei\n"})
    EXPECT_EQ(system_time_zones().find(name), nullptr) << name;
}

TEST(TimeZones, ChangesAreWhereTheyAre) {
  const auto berlin = system_time_zones().find("Europe/Berlin");
  ASSERT_NE(berlin, nullptr);
  const sys_seconds spring = sys_days(year(2026) / 3 / 29) + hours(1);
  EXPECT_EQ(berlin->offset_at(spring - Seconds(1)), hours(1));
  EXPECT_EQ(berlin->offset_at(spring), hours(2));
  EXPECT_EQ(berlin->next_change(spring - Seconds(1)), spring);
  EXPECT_EQ(berlin->next_change(spring), sys_seconds(sys_days(year(2026) / 10 / 25) + hours(1)));
  const auto taipei = system_time_zones().find("Asia/Taipei");
  EXPECT_EQ(taipei->next_change(spring), sys_seconds::max());
}

/// The offset that C's library tells, which reads the same files in its own way.
Seconds system_offset(sys_seconds moment) {
  const time_t seconds = moment.time_since_epoch().count();
  tm local{};
  ::localtime_r(&seconds, &local);
  return Seconds(local.tm_gmtoff);
}

// The files' tables end in 2037, and daylight saving doesn't.
TEST(TimeZones, AgreeWithTheSystemInEveryZoneAndLongAfterTheTables) {
  const char* before = ::getenv("TZ");
  const std::string kept = before ? before : "";
  for (const std::string& name : system_time_zones().names()) {
    const auto zone = system_time_zones().find(name);
    ASSERT_NE(zone, nullptr) << name;
    ::setenv("TZ", name.c_str(), 1);
    ::tzset();
    for (sys_seconds moment = sys_days(year(2030) / 1 / 1); moment < sys_days(year(2110) / 1 / 1);
         moment += days(13) + hours(7))
      ASSERT_EQ(zone->offset_at(moment), system_offset(moment))
          << name << " " << moment.time_since_epoch().count();
    for (sys_seconds at = zone->next_change(sys_days(year(2050) / 1 / 1)); at < sys_days(year(2053) / 1 / 1);
         at = zone->next_change(at)) {
      ASSERT_EQ(zone->offset_at(at), system_offset(at)) << name;
      ASSERT_EQ(zone->offset_at(at - Seconds(1)), system_offset(at - Seconds(1))) << name;
    }
  }
  before ? ::setenv("TZ", kept.c_str(), 1) : ::unsetenv("TZ");
  ::tzset();
}

TEST(PosixTimeZone, ReadsEveryFormOfADay) {
  const auto first_of = [](const char* rule, int in_year) {
    const auto spans = spans_of_rule(rule, in_year, in_year);
    return spans.size() == 2 ? spans[0].begin : sys_seconds();
  };
  EXPECT_EQ(first_of("AAA0BBB,M3.2.0,M11.1.0", 2040), sys_seconds(sys_days(year(2040) / 3 / 11) + hours(2)));
  EXPECT_EQ(first_of("AAA0BBB,J60/0,J300", 2040), sys_seconds(sys_days(year(2040) / 3 / 1))) << "a leap year";
  EXPECT_EQ(first_of("AAA0BBB,J60/0,J300", 2041), sys_seconds(sys_days(year(2041) / 3 / 1)));
  EXPECT_EQ(first_of("AAA0BBB,59/0,300", 2040), sys_seconds(sys_days(year(2040) / 2 / 29)));
  EXPECT_EQ(first_of("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", 2040),
            sys_seconds(sys_days(year(2040) / 3 / 25) + hours(1)));
  EXPECT_EQ(spans_of_rule("CET-1CEST,M3.5.0,M10.5.0/3", 2040, 2042).size(), 6u);
  EXPECT_EQ(spans_of_rule("LHST-10:30LHDT-11,M10.1.0,M4.1.0", 2040, 2040).back().offset, hours(11));
}

TEST(PosixTimeZone, WhatItCantReadHasNoChanges) {
  for (const char* rule :
       {"", "CST-8", "<+08>-8", "CET-1CEST", "CET-1CEST,M3.5.0", "CET-1CEST,M13.5.0,M10.5.0",
        "CET-1CEST,M3.6.0,M10.5.0", "CET-1CEST,M3.5.7,M10.5.0", "CET-1CEST,M3.5.0,M10.5.0x",
        "CET-1CEST,J0,J5", "CET-1CEST,M3.5.0/168,M10.5.0", "<CET-1CEST,M3.5.0,M10.5.0",
        "CET-1CEST,M0.1.0,M10.5.0", "CET-1CEST,M3..0,M10.5.0", "99999999999999999999"})
    EXPECT_TRUE(spans_of_rule(rule, 2040, 2041).empty()) << rule;
}

}  // namespace
}  // namespace cordon
