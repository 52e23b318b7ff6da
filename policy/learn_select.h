#pragma once
// Which selectors of the language stand best for a set of sources: a weighted set cover.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "policy/plan_side.h"
#include "policy/world.h"

namespace cordon::policy {

/// A person (by id) or a machine (by device id).
struct LearnSource {
  bool person = false;
  std::string id;
  auto operator<=>(const LearnSource&) const = default;
};

/// One word of `from`. In order of what reads best. `device`: a segment of its own must be written for it.
struct LearnSelector {
  enum class Kind { group, segment, tag, user, device } kind = Kind::group;
  std::string name;
  auto operator<=>(const LearnSelector&) const = default;
};
using LearnSelectors = std::set<LearnSelector>;

class LearnSelect {
 public:
  LearnSelect(const World& world, const PlanSide& side);

  /// Selectors that together select all of `sources` (either people or machines) and, for what a shorter text
  /// is worth, few others.
  LearnSelectors cover(const std::set<LearnSource>& sources) const;
  /// Whom a selector selects.
  const std::set<LearnSource>& selected_by(const LearnSelector& selector) const;
  /// What people call it.
  std::string name_of(const LearnSource& source) const;

 private:
  void add(const LearnSelector& selector, const LearnSource& source);
  void add_people();
  void add_claimants(const LearnSelector& selector, const Group& group);
  void add_machines(const PlanSide& side);

  const World& world_;
  std::map<LearnSelector, std::set<LearnSource>> selected_;
  std::map<LearnSource, std::vector<LearnSelector>> by_source_;
};

}  // namespace cordon::policy
