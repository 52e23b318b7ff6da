#pragma once
// Alarms of what a check found and mended in the same breath: they stand for a while, or nobody would hear of
// them.

#include <string>
#include <unordered_map>
#include <vector>

#include "base/time.h"

namespace cordon::node {

/// How long an alarm stands after its cause was last seen: several heartbeats, and a look by a person.
inline constexpr BootNs kAlarmStandsNs = 60'000'000'000;

class RecentAlarms {
 public:
  /// What one check found; the lines that didn't stand before.
  std::vector<std::string> found(const std::vector<std::string>& lines, BootNs now);
  /// Sorted.
  std::vector<std::string> standing(BootNs now) const;

 private:
  std::unordered_map<std::string, BootNs> last_seen_;
};

}  // namespace cordon::node
