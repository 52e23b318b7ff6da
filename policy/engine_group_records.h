#pragma once
// Groups of principals, groups of targets, and what holds between two of them.

#include <cstdint>
#include <map>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "policy/engine_records.h"
#include "policy/node_delta.h"
#include "policy/standing.h"

namespace cordon::policy::engine {

/// How often each key is in use, now and before this advance.
template <class Key>
class Counted {
 public:
  void add(const Key& key, std::int32_t by, std::uint64_t epoch) {
    if (epoch_ != epoch) forget(epoch);
    auto [it, fresh] = uses_.try_emplace(key);
    Uses& uses = it->second;
    if (uses.epoch != epoch) {
      uses.before = uses.now;
      uses.epoch = epoch;
      changed_.push_back(key);
    }
    uses.now += by;
  }
  bool contains(const Key& key, When when, std::uint64_t epoch) const {
    const auto it = uses_.find(key);
    if (it == uses_.end()) return false;
    return (when == When::before && it->second.epoch == epoch ? it->second.before : it->second.now) > 0;
  }
  /// That may be in use at one of the two moments only.
  const std::vector<Key>& changed(std::uint64_t epoch) const {
    static const std::vector<Key> kNothing;
    return epoch_ == epoch ? changed_ : kNothing;
  }

 private:
  struct Uses {
    std::int32_t now = 0, before = 0;
    std::uint64_t epoch = 0;
  };
  void forget(std::uint64_t epoch) {
    for (const Key& key : changed_)
      if (const auto it = uses_.find(key); it != uses_.end() && it->second.now == 0) uses_.erase(it);
    changed_.clear();
    epoch_ = epoch;
  }
  std::unordered_map<Key, Uses> uses_;
  std::vector<Key> changed_;
  std::uint64_t epoch_ = 0;
};

/// What a pattern comes down to at one group of targets; shared by all principal groups that say the same
/// there.
struct Link {
  std::vector<PortGrant> table;  ///< empty: nothing is granted
  ClassId ingress;               ///< the class that the target's nodes know
  ClassPtr grants;               ///< of that class; null: it has none
  std::vector<RuleId> rules;     ///< named in it
  std::uint32_t users = 0;       ///< principal groups
  const Pattern* key = nullptr;  ///< in the target group's links
};

struct TargetGroup {
  std::vector<std::uint32_t> segments;  ///< by number
  TargetId id;
  bool isolated = false;
  bool observes = false;
  Underlay underlay = Underlay::open;
  std::map<GuardKey, GuardValue> guards;

  std::vector<std::uint32_t> members;  ///< devices
  std::uint64_t born = 0;
  std::unordered_map<Pattern, Link, PatternHash> links;
  std::unordered_map<std::uint32_t, const Link*> sources;  ///< by principal group
  Counted<ClassId> classes;                                ///< that its nodes know for others
  Counted<RuleId> rules;

  /// Principals that this advance changed here.
  std::vector<std::uint32_t> moved;
  std::uint64_t moved_in = 0;
  /// So many members were marked one by one in that advance.
  std::uint32_t marked = 0;
  std::uint64_t marked_in = 0;
};

/// What a principal's own node knows it by.
struct LocalClass {
  ClassId id;
  ClassPtr grants;  ///< null: it has none
  std::vector<RuleId> rules;
};

struct PrincipalGroup {
  struct Target {
    std::uint32_t group;
    const Link* link;
  };
  Pattern pattern;
  std::vector<RuleId> rules;           ///< that its grants may name, in order
  std::vector<Target> targets;         ///< by group; only where something is granted
  std::vector<std::uint32_t> members;  ///< principals
  std::uint64_t born = 0;
  bool buried = false;  ///< it has no members and counts nowhere

  /// By the target groups that the node enforces for and where something is granted.
  using Locals = std::vector<std::pair<std::vector<std::uint32_t>, std::unique_ptr<const LocalClass>>>;
  mutable Locals local, local_before;
  std::uint64_t targets_changed = 0;  ///< the last advance in which a target group came or went

  const Link* find(std::uint32_t target_group) const;
};

}  // namespace cordon::policy::engine
