#pragma once
// Time zones as tables of UTC offsets: loaded from the system's tz database here, read without I/O elsewhere.

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace cordon {

class TimeZone {
 public:
  struct Span {
    std::chrono::sys_seconds begin;  ///< until the next span's
    Seconds offset;                  ///< local time less UTC
  };
  /// `spans` are in order and not empty; the first counts for all time before it too.
  TimeZone(std::string name, std::vector<Span> spans);

  const std::string& name() const { return name_; }
  Seconds offset_at(std::chrono::sys_seconds moment) const;
  /// The first moment after `moment` at which the offset changes; max(): never.
  std::chrono::sys_seconds next_change(std::chrono::sys_seconds moment) const;

 private:
  std::string name_;
  std::vector<Span> spans_;
};
using TimeZonePtr = std::shared_ptr<const TimeZone>;

class TimeZones {
 public:
  virtual ~TimeZones() = default;
  /// Null: there is no such zone. Names are the database's ("Asia/Taipei").
  virtual TimeZonePtr find(std::string_view name) const = 0;
  /// All names, for suggestions.
  virtual std::vector<std::string> names() const = 0;
  /// Of the database ("2025b"), for records.
  virtual std::string version() const = 0;
};

/// The system's tz database (tzdata). Zones are read when first asked for and kept; safe from any thread.
const TimeZones& system_time_zones();

}  // namespace cordon
