#include "base/time.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <limits>

namespace cordon {
namespace {

using std::chrono::microseconds;

std::string utc(std::string_view text) {
  const auto t = parse_rfc3339(text);
  return t ? format_rfc3339(*t) : "refused: " + t.error().what;
}

TEST(Rfc3339, ReadsEveryLegalForm) {
  const std::pair<const char*, const char*> cases[] = {
      {"2026-01-05T10:00:00+08:00", "2026-01-05T02:00:00Z"},
      {"2026-01-05T10:00:00Z", "2026-01-05T10:00:00Z"},
      {"2026-01-05t10:00:00z", "2026-01-05T10:00:00Z"},
      {"2026-01-05T10:00:00-00:00", "2026-01-05T10:00:00Z"},
      {"2026-01-05T10:00:00.5Z", "2026-01-05T10:00:00.5Z"},
      {"2026-01-05T10:00:00.000001Z", "2026-01-05T10:00:00.000001Z"},
      {"2026-01-05T10:00:00.100000Z", "2026-01-05T10:00:00.1Z"},
      {"2024-02-29T23:59:59Z", "2024-02-29T23:59:59Z"},
      {"2000-02-29T00:00:00Z", "2000-02-29T00:00:00Z"},
      {"2026-01-01T00:30:00+01:00", "2025-12-31T23:30:00Z"},
      {"2025-12-31T23:30:00-23:59", "2026-01-01T23:29:00Z"},
      {"1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"},
      {"0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"},
      {"9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"},
  };
  for (const auto& [in, out] : cases) EXPECT_EQ(utc(in), out) << in;
  EXPECT_EQ(to_us(*parse_rfc3339("1970-01-01T00:00:01Z")), 1'000'000);
}

TEST(Rfc3339, RefusesEveryOther) {
  for (const auto* text : {"",
                           "never",
                           "2026-01-05",
                           "2026-01-05T10:00:00",
                           "2026-01-05 10:00:00Z",
                           "2026-01-05T10:00Z",
                           "2026-1-05T10:00:00Z",
                           "26-01-05T10:00:00Z",
                           "2026-02-29T00:00:00Z",
                           "1900-02-29T00:00:00Z",
                           "2026-04-31T00:00:00Z",
                           "2026-00-01T00:00:00Z",
                           "2026-13-01T00:00:00Z",
                           "2026-01-00T00:00:00Z",
                           "2026-01-32T00:00:00Z",
                           "2026-01-05T24:00:00Z",
                           "2026-01-05T10:60:00Z",
                           "2016-12-31T23:59:60Z",
                           "2026-01-05T10:00:00.Z",
                           "2026-01-05T10:00:00.1234567Z",
                           "2026-01-05T10:00:00+08",
                           "2026-01-05T10:00:00+0800",
                           "2026-01-05T10:00:00+24:00",
                           "2026-01-05T10:00:00+08:60",
                           "2026-01-05T10:00:00ZZ",
                           "2026-01-05T10:00:00Z ",
                           " 2026-01-05T10:00:00Z",
                           "+2026-01-05T10:00:00Z",
                           "2026-01-05T10:00:-1Z",
                           "0000-01-01T00:00:00+00:01",
                           "9999-12-31T23:59:59-00:01",
                           "12026-01-05T10:00:00Z"}) {
    EXPECT_FALSE(parse_rfc3339(text)) << text;
  }
}

TEST(Rfc3339, EveryPrefixIsRefused) {
  const std::string_view whole = "2026-01-05T10:00:00.123456+08:00";
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(parse_rfc3339(whole.substr(0, size))) << size;
}

TEST(Rfc3339, FormatsWhatItCannotRead) {
  EXPECT_EQ(format_rfc3339(kNever), "never");
  // Beyond what the format can say it stays at its ends instead of wrapping around.
  EXPECT_EQ(format_rfc3339(from_us(std::numeric_limits<std::int64_t>::max() - 1)),
            "9999-12-31T23:59:59.999999Z");
  EXPECT_EQ(format_rfc3339(from_us(std::numeric_limits<std::int64_t>::min())), "0000-01-01T00:00:00Z");
}

TEST(Rfc3339, RoundTrips) {
  EXPECT_TRUE(rc::check([] {
    const auto us = *rc::gen::inRange<std::int64_t>(-62'167'219'200'000'000, 253'402'300'800'000'000);
    RC_ASSERT(to_us(parse_rfc3339(format_rfc3339(from_us(us))).value()) == us);
  }));
}

TEST(Duration, ReadsAndWrites) {
  const std::pair<const char*, std::int64_t> cases[] = {
      {"90s", 90}, {"15m", 900}, {"8h", 28800}, {"30d", 2592000}, {"36500d", 3153600000}, {"1s", 1}};
  for (const auto& [text, seconds] : cases) {
    ASSERT_TRUE(parse_duration(text)) << text;
    EXPECT_EQ(parse_duration(text)->count(), seconds);
    EXPECT_EQ(format_duration(Seconds(seconds)), text);
  }
  EXPECT_EQ(format_duration(Seconds(86400)), "1d");
  EXPECT_EQ(format_duration(Seconds(3601)), "3601s");
  EXPECT_EQ(format_duration(Seconds(0)), "0s");
  for (const auto* text : {"", "s", "5", "0s", "-5s", "+5s", "5 s", "5ms", "5S", "1.5h", "1h30m", "5w",
                           "36501d", "99999999999999999999s", "9223372036854775807d", " 5s", "5s "}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
}

TEST(Clock, MachineClocksMoveForward) {
  const Clock& clock = system_clock();
  const auto boot = clock.boot_ns();
  EXPECT_GT(boot, 0u);
  EXPECT_GE(clock.boot_ns(), boot);
  EXPECT_GT(to_us(clock.now()), 1'700'000'000'000'000);
}

TEST(TimeBase, DeadlinesLandEarlyNeverLate) {
  // The controller read its clock 40 ms after the node sent; the true boot time of a deadline is 40 ms later.
  const TimeBase base{.sent_boot_ns = 5'000'000'000, .controller_time = from_us(1'000'000'000)};
  EXPECT_EQ(base.to_boot(from_us(1'000'000'000)), 5'000'000'000u);
  EXPECT_EQ(base.to_boot(from_us(1'000'000'007)), 5'000'007'000u);
  EXPECT_EQ(base.to_boot(from_us(999'000'000)), 4'000'000'000u);
  EXPECT_EQ(base.to_boot(from_us(0)), 1u);
  EXPECT_EQ(base.to_utc(5'000'007'000), from_us(1'000'000'007));
  EXPECT_EQ(base.to_utc(5'000'007'999), from_us(1'000'000'007));
  EXPECT_EQ(base.to_utc(4'999'999'999), from_us(999'999'999));
}

TEST(TimeBase, SaturatesAndKeepsNever) {
  const TimeBase base{.sent_boot_ns = 5'000'000'000, .controller_time = from_us(1'000'000'000)};
  EXPECT_EQ(base.to_boot(kNever), kBootNever);
  EXPECT_EQ(base.to_utc(kBootNever), kNever);
  EXPECT_EQ(base.to_boot(from_us(std::numeric_limits<std::int64_t>::max() - 1)), kBootNever - 1);
  EXPECT_EQ(base.to_boot(Timestamp::min()), 1u);
  const TimeBase late{.sent_boot_ns = 0, .controller_time = kNever - microseconds(1)};
  EXPECT_EQ(late.to_utc(kBootNever - 1), kNever - microseconds(1));
  EXPECT_EQ(late.to_boot(Timestamp::min()), 1u);
  const TimeBase early{.sent_boot_ns = kBootNever - 1, .controller_time = Timestamp::min()};
  EXPECT_EQ(early.to_utc(0), Timestamp::min());
  EXPECT_EQ(early.to_boot(kNever - microseconds(1)), kBootNever - 1);
}

TEST(TimeBase, NeverWrapsAroundAndKeepsOrder) {
  EXPECT_TRUE(rc::check([] {
    const TimeBase base{.sent_boot_ns = *rc::gen::arbitrary<BootNs>(),
                        .controller_time = from_us(*rc::gen::arbitrary<std::int64_t>())};
    auto a = *rc::gen::arbitrary<std::int64_t>(), b = *rc::gen::arbitrary<std::int64_t>();
    if (a > b) std::swap(a, b);
    RC_ASSERT(base.to_boot(from_us(a)) <= base.to_boot(from_us(b)));
    RC_ASSERT(base.to_boot(from_us(a)) != 0);
    const auto x = *rc::gen::arbitrary<BootNs>(), y = *rc::gen::arbitrary<BootNs>();
    RC_ASSERT(base.to_utc(std::min(x, y)) <= base.to_utc(std::max(x, y)));
  }));
}

}  // namespace
}  // namespace cordon
