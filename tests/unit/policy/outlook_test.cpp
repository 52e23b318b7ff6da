// P7, P11: hours against hours. When a forbid begins is found exactly, be that in decades, or never.

#include <gtest/gtest.h>

#include <chrono>

#include "policy/conditions.h"
#include "tests/support/world_builder.h"

namespace cordon::test {
namespace outlook_test {

using policy::Outlook;
using std::chrono::minutes;

/// A forbid for everybody, with hours in `when` and in `unless`.
class HoursAgainstHours {
 public:
  HoursAgainstHours(const std::string& when, const std::string& unless)
      : policy_(policy_of({{"p.toml", fmt::format(R"(
[segments.s]
members = ["tag:s"]
[[forbid]]
name = "r"
from = {{ users = ["u"] }}
to = ["s tcp/1"]
when = {{ {} }}
unless = {{ {} }}
)",
                                                  when, unless)}})) {}

  bool holds(Timestamp at) const { return policy::holds(*policy_, policy_->rules.at(0), asker_, at); }
  Outlook outlook(Timestamp at) const { return policy::outlook(*policy_, policy_->rules.at(0), asker_, at); }
  /// From a moment at which it doesn't hold.
  std::string begins_after(const char* moment) const {
    const Outlook found = outlook(parse_rfc3339(moment).value());
    EXPECT_FALSE(found.holds);
    return format_rfc3339(found.until);
  }

 private:
  policy::PolicyPtr policy_;
  policy::Device device_;
  policy::Session session_;
  policy::User user_{.id = SubjectId{"u"}, .issuer = "local", .name = "u"};
  policy::Asker asker_{&device_, &session_, &user_};
};

std::string hours(const char* windows, const char* zone) {
  return fmt::format("hours = \"{}\", timezone = \"{}\"", windows, zone);
}

TEST(Outlook, P7_HoursWithinOtherHoursNeverComeOut) {
  for (const char* zone :
       {"UTC", "Asia/Taipei", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Casablanca"}) {
    const HoursAgainstHours never(hours("Mon-Fri 09:00-18:00", zone), hours("* 07:00-21:00", zone));
    EXPECT_EQ(never.begins_after("2026-01-05T00:00:00Z"), "never") << zone;
  }
}

TEST(Outlook, P11_HoursThatPartOnlyWhileOneZoneIsAheadOfTheOther) {
  const HoursAgainstHours parted(hours("* 14:00-15:00", "Europe/London"),
                                 hours("* 09:00-10:00", "America/New_York"));
  EXPECT_EQ(parted.begins_after("2026-01-05T00:00:00Z"), "2026-03-08T14:00:00Z");
  EXPECT_EQ(parted.begins_after("2026-04-01T00:00:00Z"), "2026-10-25T14:00:00Z");
  EXPECT_EQ(parted.begins_after("2150-01-05T00:00:00Z"), "2150-03-08T14:00:00Z");
}

// Morocco's clocks go back for Ramadan, as far as the table goes.
TEST(Outlook, P11_HoursThatPartInAMonthThatMoves) {
  const HoursAgainstHours parted(hours("* 12:00-13:00", "UTC"), hours("* 13:00-14:00", "Africa/Casablanca"));
  EXPECT_EQ(parted.begins_after("2026-01-05T00:00:00Z"), "2026-02-15T12:00:00Z");
  EXPECT_EQ(parted.begins_after("2026-03-25T00:00:00Z"), "2027-02-07T12:00:00Z");
  EXPECT_EQ(parted.begins_after("2090-01-05T00:00:00Z"), "never");
}

TEST(Outlook, P7_WhatEndsOnceMayLieDecadesAhead) {
  const HoursAgainstHours until_2070(
      hours("Mon 09:00-10:00", "Europe/Berlin"),
      hours("Mon 08:00-11:00", "Europe/Berlin") + ", valid_until = \"2070-01-01T00:00:00Z\"");
  EXPECT_EQ(until_2070.begins_after("2026-01-05T00:00:00Z"), "2070-01-06T08:00:00Z");
  // Before 2100 the one can't hold, and from then on the other always does when it could.
  const HoursAgainstHours from_2100(
      hours("Mon 09:00-10:00", "Europe/Berlin") + ", valid_from = \"2100-01-01T00:00:00Z\"",
      hours("Mon 09:00-10:00", "Europe/Berlin"));
  EXPECT_EQ(from_2100.begins_after("2026-01-05T00:00:00Z"), "never");
}

/// Against the plain way, a quarter of an hour after the other, over years of daylight saving.
TEST(Outlook, P11_EdgesAreWhereAScanFindsThem) {
  constexpr auto kStep = minutes(15);  // every window and every offset begins at one
  const Timestamp first = parse_rfc3339("2026-01-05T00:00:00Z").value(),
                  last = parse_rfc3339("2030-01-05T00:00:00Z").value();
  const std::array pairs{
      std::pair{hours("* 14:00-15:00", "Europe/London"), hours("* 09:00-10:00", "America/New_York")},
      std::pair{hours("Sun 01:30-03:15", "Europe/Berlin"), hours("Sun 02:00-03:00", "Europe/Berlin")},
      std::pair{hours("Sun 02:15-02:45", "Australia/Lord_Howe"), hours("Sat,Sun 00:00-02:30", "Asia/Taipei")},
      std::pair{hours("* 12:00-13:00", "UTC"), hours("* 13:00-14:00", "Africa/Casablanca")},
      std::pair{hours("Sat 23:00-00:00", "America/Sao_Paulo"), hours("Sat 22:00-23:00", "America/New_York")},
  };
  for (const auto& [when, unless] : pairs) {
    const HoursAgainstHours rule(when, unless);
    Outlook told = rule.outlook(first);
    for (Timestamp at = first; at < last; at += kStep) {
      if (at == told.until) {
        const bool held = std::exchange(told, rule.outlook(at)).holds;
        ASSERT_NE(told.holds, held) << when << " / " << unless << " at " << format_rfc3339(at);
      }
      ASSERT_EQ(rule.holds(at), told.holds) << when << " / " << unless << " at " << format_rfc3339(at);
      ASSERT_GT(told.until, at);
    }
  }
}

}  // namespace outlook_test
}  // namespace cordon::test
