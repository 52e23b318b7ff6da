#pragma once
// A copy of a node state for another thread, made in slices: a million entries at once would take the loop a
// tenth of a second and more. Between two slices the state may change, by what the copy is told of.

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/result.h"
#include "policy/node_state.h"

namespace cordon::node {

class StateCopy {
 public:
  /// Copies the next entries, `most` of them. True: the copy is whole, and equals the state.
  bool copy(const policy::NodeState& state, std::size_t most);
  /// The state that is being copied was changed so. One that was replaced is copied anew.
  void changed(const std::vector<policy::Change>& changes);

  /// Calls take(key, value), which gives a Result<>, for each entry, in no order.
  template <class Take>
  Result<> for_each(const Take& take) const;

 private:
  /// Nearly all of a large state are grants: a third of the room without the variants.
  struct Slice {
    std::vector<std::pair<policy::GrantKey, policy::GrantValue>> grants;
    std::vector<std::pair<policy::Key, policy::Value>> others;
  };
  std::vector<Slice> slices_;
  std::optional<policy::Key> last_;  ///< copied
  /// What was changed after it was copied; none: it went.
  std::map<policy::Key, std::optional<policy::Value>> changed_;
};

template <class Take>
Result<> StateCopy::for_each(const Take& take) const {
  const auto take_copied = [&](const policy::Key& key, const policy::Value& value) {
    return changed_.contains(key) ? Result<>{} : take(key, value);
  };
  for (const Slice& slice : slices_) {
    for (const auto& [key, value] : slice.grants) CORDON_TRY(take_copied(key, value));
    for (const auto& [key, value] : slice.others) CORDON_TRY(take_copied(key, value));
  }
  for (const auto& [key, value] : changed_)
    if (value) CORDON_TRY(take(key, *value));
  return {};
}

}  // namespace cordon::node
