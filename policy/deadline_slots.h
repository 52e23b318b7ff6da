#pragma once
// How a principal's deadlines share the kernel's few slots (P7).

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "policy/node_state.h"

namespace cordon::policy {

/// Different deadlines in order, one a slot. Past the last slot the later ones share it with the earlier:
/// such a grant ends early, never late, and is given again when the state is compiled at that moment.
class DeadlineSlots {
 public:
  explicit DeadlineSlots(std::vector<Timestamp> deadlines) {
    std::ranges::sort(deadlines);
    const auto repeated = std::ranges::unique(deadlines);
    deadlines.erase(repeated.begin(), repeated.end());
    for (std::size_t i = 0; i < std::min(deadlines.size(), kDeadlineSlots); ++i) slots_[i] = deadlines[i];
    used_ = static_cast<std::uint8_t>(std::min(deadlines.size(), kDeadlineSlots));
  }

  /// The slot of one of the deadlines given: the latest that isn't after it.
  std::uint8_t slot(Timestamp deadline) const {
    std::uint8_t found = 0;
    for (std::uint8_t i = 0; i < used_; ++i)
      if (slots_[i] <= deadline) found = i;
    return found;
  }

  const std::array<Timestamp, kDeadlineSlots>& values() const { return slots_; }

 private:
  std::array<Timestamp, kDeadlineSlots> slots_ = PrincipalValue::no_deadlines();
  std::uint8_t used_ = 0;
};

}  // namespace cordon::policy
