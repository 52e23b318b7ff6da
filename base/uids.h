#pragma once
// User ids of this host.

#include <compare>
#include <cstdint>
#include <vector>

namespace cordon {

/// Both ends belong to it.
struct UidRange {
  std::uint32_t first = 0, last = 0;
  bool contains(std::uint32_t uid) const { return first <= uid && uid <= last; }
  auto operator<=>(const UidRange&) const = default;
};

inline bool is_among(const std::vector<UidRange>& ranges, std::uint32_t uid) {
  for (const UidRange& range : ranges)
    if (range.contains(uid)) return true;
  return false;
}

}  // namespace cordon
