#pragma once
// What turns a node's last state into its new one. Classes of grants, which many nodes are told of at once,
// are not written out for each: all deltas refer to the one there is.

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "policy/grant_class.h"
#include "policy/node_state.h"

namespace cordon::policy {

using ClassPtr = std::shared_ptr<const ClassGrants>;  ///< in the order of its keys, not empty

/// Changes that several nodes are told of alike: removals first, then upserts, each by key.
using SharedChanges = std::shared_ptr<const std::vector<Change>>;

class NodeDelta {
 public:
  /// No key is in two of them.
  struct Parts {
    std::vector<Change> own{};            ///< removals first, then upserts, each by key
    std::vector<SharedChanges> shared{};  ///< none empty
    std::vector<ClassPtr> gone{}, come{};
  };
  NodeDelta() = default;
  explicit NodeDelta(Parts parts) : parts_(std::move(parts)) {}
  explicit NodeDelta(std::vector<Change> own) : parts_{.own = std::move(own)} {}
  NodeDelta(std::initializer_list<Change> own) : parts_{.own = own} {}

  bool empty() const {
    return parts_.own.empty() && parts_.shared.empty() && parts_.gone.empty() && parts_.come.empty();
  }
  std::size_t size() const {
    std::size_t count = parts_.own.size();
    for (const SharedChanges& shared : parts_.shared) count += shared->size();
    for (const auto* classes : {&parts_.gone, &parts_.come})
      for (const ClassPtr& grants : *classes) count += grants->size();
    return count;
  }

  /// Calls `visit` with each change: all removals, then all upserts.
  template <class Visit>
  void each(Visit visit) const {
    each_plain(false, visit);
    for (const ClassPtr& grants : parts_.gone)
      for (const auto& [key, value] : *grants) visit(Change{.key = key, .value = std::nullopt});
    each_plain(true, visit);
    for (const ClassPtr& grants : parts_.come)
      for (const auto& [key, value] : *grants) visit(Change{.key = key, .value = value});
  }
  /// The same for all but whole classes.
  template <class Visit>
  void each_plain(Visit visit) const {
    each_plain(false, visit);
    each_plain(true, visit);
  }
  /// Written out: removals first, then upserts, each by key.
  std::vector<Change> changes() const;

 private:
  template <class Visit>
  void each_plain(bool upserts, Visit& visit) const {
    const auto visit_those = [&](const std::vector<Change>& changes) {
      for (const Change& change : changes)
        if (change.value.has_value() == upserts) visit(change);
    };
    visit_those(parts_.own);
    for (const SharedChanges& shared : parts_.shared) visit_those(*shared);
  }
  Parts parts_;
};

}  // namespace cordon::policy
