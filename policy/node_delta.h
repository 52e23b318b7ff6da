#pragma once
// What turns a node's last state into its new one. What many nodes are told of at once, classes of grants
// above all, is not written out for each: all deltas refer to the one there is.

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

/// What many nodes are told alike, beside what is each one's own.
struct CommonChanges {
  std::vector<SharedChanges> plain{};  ///< none empty
  std::vector<ClassPtr> gone{}, come{};

  bool empty() const { return plain.empty() && gone.empty() && come.empty(); }
};

class NodeDelta {
 public:
  NodeDelta() = default;
  /// `own`: removals first, then upserts, each by key. `common`: null, or what no key of `own` is in.
  explicit NodeDelta(std::vector<Change> own, std::shared_ptr<const CommonChanges> common = nullptr)
      : own_(std::move(own)), common_(common == nullptr || common->empty() ? nullptr : std::move(common)) {}
  NodeDelta(std::initializer_list<Change> own) : own_(own) {}

  bool empty() const { return own_.empty() && common_ == nullptr; }
  std::size_t size() const {
    std::size_t count = own_.size();
    if (common_ == nullptr) return count;
    for (const SharedChanges& shared : common_->plain) count += shared->size();
    for (const auto* classes : {&common_->gone, &common_->come})
      for (const ClassPtr& grants : *classes) count += grants->size();
    return count;
  }

  /// Calls `visit` with each change: all removals, then all upserts.
  template <class Visit>
  void each(Visit visit) const {
    each_plain(false, visit);
    if (common_ != nullptr)
      for (const ClassPtr& grants : common_->gone)
        for (const auto& [key, value] : *grants) visit(Change{.key = key, .value = std::nullopt});
    each_plain(true, visit);
    if (common_ != nullptr)
      for (const ClassPtr& grants : common_->come)
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
    visit_those(own_);
    if (common_ != nullptr)
      for (const SharedChanges& shared : common_->plain) visit_those(*shared);
  }
  std::vector<Change> own_;
  std::shared_ptr<const CommonChanges> common_;
};

}  // namespace cordon::policy
