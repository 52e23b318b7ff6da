#pragma once
// Times: UTC microseconds for what is recorded, boot-time nanoseconds (CLOCK_BOOTTIME, counts suspend) for
// leases.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cordon {

using Timestamp = std::chrono::sys_time<std::chrono::microseconds>;
using Seconds = std::chrono::seconds;

/// No deadline.
inline constexpr Timestamp kNever = Timestamp::max();

/// CLOCK_BOOTTIME in ns.
using BootNs = std::uint64_t;
inline constexpr BootNs kBootNever = UINT64_MAX;

/// What tells time; tests pass a clock of their own.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Timestamp now() const = 0;
  virtual BootNs boot_ns() const = 0;
};

/// The machine's clocks.
const Clock& system_clock();

std::int64_t to_us(Timestamp t);
Timestamp from_us(std::int64_t us);

/// RFC 3339 with a mandatory offset ("2026-01-05T10:00:00+08:00"), up to microseconds.
Result<Timestamp> parse_rfc3339(std::string_view text);
/// In UTC, "2026-01-05T02:00:00Z"; a fraction only when there is one. kNever: "never".
std::string format_rfc3339(Timestamp t);
/// "90s", "15m", "8h", "30d": a positive whole number and one unit.
Result<Seconds> parse_duration(std::string_view text);
/// The shortest exact form: "90s", "15m", "8h", "30d".
std::string format_duration(Seconds d);

/// How a node turns the controller's UTC deadlines into its own boot time without trusting its wall clock.
/// `controller_time` was read by the controller after the node sent at `sent_boot_ns`, so every deadline
/// lands a little early, never late (I5).
struct TimeBase {
  BootNs sent_boot_ns = 0;
  Timestamp controller_time{};

  BootNs to_boot(Timestamp deadline) const;  ///< kNever stays kBootNever; the past is 1, never 0
  Timestamp to_utc(BootNs boot) const;
};

}  // namespace cordon
