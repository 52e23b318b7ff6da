#pragma once
// What became of each policy that was ever applied: a fold beside the world, for people. No decision looks at
// it.

#include <map>
#include <optional>
#include <string>

#include "controller/log/record.h"
#include "policy/world.h"

namespace cordon::controller {

/// Who did something, when, by which record.
struct PolicyMark {
  Revision revision;
  Timestamp at{};
  std::string actor;
};

struct PolicyEntry {
  PolicyMark applied;
  std::size_t files = 0;
  Timestamp confirm_by{};  ///< 0: it was confirmed at once
  std::string tzdata;      ///< version of the tz database; empty: not recorded
  std::optional<PolicyMark> confirmed;
  std::optional<PolicyMark> undone;    ///< rolled back
  std::string reason;                  ///< of the rollback
  std::optional<PolicyMark> replaced;  ///< another was confirmed
  Revision replaced_by;                ///< that other
};

class PolicyHistory {
 public:
  /// `world` has just folded `record`.
  void add(const Record& record, const policy::World& world);

  /// By the revision that applied them.
  const std::map<Revision, PolicyEntry>& entries() const { return entries_; }
  /// Null: no policy was applied by that record.
  const PolicyEntry* find(Revision revision) const;

 private:
  void confirm(PolicyEntry& entry, const PolicyMark& mark);

  std::map<Revision, PolicyEntry> entries_;
  Revision confirmed_;  ///< the last that was; 0: none yet
};

/// "pending", "in force", "confirmed" (it comes back unless the pending one is confirmed), "superseded" or
/// "rolled back".
std::string_view state_of(const PolicyEntry& entry, const policy::World& world);

}  // namespace cordon::controller
