#pragma once
// What the rules that select a principal say of it now, apart from any target: which allows hold and in which
// order they are preferred, which forbids hold or will, and by when each ends (P3, P7).

#include <compare>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "policy/conditions.h"
#include "policy/deadline_slots.h"
#include "policy/model.h"

namespace cordon::policy {

/// A rule that selects the principal, and the number that its keeper knows it by. What most rules are judged
/// by stands here, so that the rule itself needn't be looked at.
struct SelectedRule {
  const Rule* rule = nullptr;
  std::uint32_t number = 0;
  bool forbids = false;
  bool plain = false;  ///< without conditions: it holds always
  Seconds lease{0};
};
SelectedRule selected_rule(const Rule& rule, std::uint32_t number);

/// No times in it: principals whose times differ but stand in the same order share it, and so their tables.
struct Pattern {
  struct Allow {
    std::uint32_t number = 0;
    std::uint8_t slot = 0;  ///< the allow ends with this deadline
    auto operator<=>(const Allow&) const = default;
  };
  struct Forbid {
    std::uint32_t number = 0;
    bool holds = true;  ///< else it begins at its slot's deadline
    std::uint8_t slot = 0;
    std::uint32_t ties = 0;  ///< of `allows`, so many last until it begins: there they end together
    auto operator<=>(const Forbid&) const = default;
  };
  std::vector<Allow> allows;    ///< that hold, the preferred first (P7)
  std::vector<Forbid> forbids;  ///< by name; none that changes nothing
  auto operator<=>(const Pattern&) const = default;
  bool empty() const { return allows.empty(); }
};
struct PatternHash {
  std::size_t operator()(const Pattern& pattern) const;
};

struct Standing {
  Pattern pattern;
  std::array<Timestamp, kDeadlineSlots> deadlines = PrincipalValue::no_deadlines();
  Timestamp changes_at = kNever;  ///< the first moment after now at which this may be another, by time alone
};

/// What was found of rules with conditions when they were last looked at, by their numbers.
using SeenOutlooks = std::vector<std::pair<std::uint32_t, Outlook>>;

/// `rules` are in the order of their names. `ends_at`: the session's end; later than now. `seen`: of the same
/// facts; what holds of it still isn't looked at again, and it is brought up to date.
Standing standing_of(const Policy& policy, std::span<const SelectedRule> rules, const Asker& asker,
                     Timestamp ends_at, Timestamp now, SeenOutlooks* seen = nullptr);

}  // namespace cordon::policy
