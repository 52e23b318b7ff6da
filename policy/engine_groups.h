#pragma once
// Principals of which the rules say the same, targets in the same segments, and what holds between two such
// groups. A group never changes but for its members: who changes moves to another group. Groups that lost
// their last member stay until the next advance, so that what was before it can still be told.

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "policy/engine.h"
#include "policy/engine_group_records.h"
#include "policy/engine_rules.h"

namespace cordon::policy::engine {

class GroupBook {
 public:
  explicit GroupBook(RuleBook& rules) : rules_(rules) {}

  /// A new advance: groups without members go for good.
  void begin(std::uint64_t epoch);
  /// Groups that have no members now count no more.
  void settle();

  /// The group of active devices in these segments; it is made if need be.
  std::uint32_t target_group(const World& world, const Device& device, const Positions& segments);
  /// The policy changed: what its segments mean is looked at again.
  void forget_segments() { by_segments_.clear(); }
  /// The group of principals of this pattern, which is not empty; it is made if need be.
  std::uint32_t principal_group(const Pattern& pattern);

  void join_targets(std::uint32_t group, std::uint32_t device, std::uint32_t& place);
  /// The device that takes its place among the members, or kNone.
  std::uint32_t leave_targets(std::uint32_t group, std::uint32_t place);
  void join_principals(std::uint32_t group, std::uint32_t principal, std::uint32_t& place);
  std::uint32_t leave_principals(std::uint32_t group, std::uint32_t place);

  const TargetGroup& targets(std::uint32_t group) const { return *targets_[group]; }
  TargetGroup& targets(std::uint32_t group) { return *targets_[group]; }
  const PrincipalGroup& principals(std::uint32_t group) const { return *principals_[group]; }
  /// Groups that observe, those that came or went in this advance included.
  const std::vector<std::uint32_t>& observing() const { return observing_; }
  /// Principal groups whose target groups came or went in this advance.
  const std::vector<std::uint32_t>& retargeted() const { return retargeted_; }

  bool exists(const TargetGroup& group, When when) const {
    return when == When::now ? !group.members.empty() : group.born != epoch_;
  }
  bool exists(const PrincipalGroup& group, When when) const {
    return when == When::now ? !group.members.empty() : group.born != epoch_;
  }
  /// `own`: the target groups that the node enforces for, in order; all are among the group's.
  const LocalClass& local_class(const PrincipalGroup& group, std::span<const std::uint32_t> own,
                                When when) const;
  Engine::Counts counts() const;
  std::uint64_t epoch() const { return epoch_; }

 private:
  struct Place {
    Positions segments;
    bool isolated = false;
    auto operator<=>(const Place&) const = default;
  };
  TargetGroup describe(const World& world, const Device& device, const Positions& segments) const;
  void link_target_group(std::uint32_t group);
  void link_principal_group(std::uint32_t group);
  const Link* link(PrincipalGroup& from, std::uint32_t from_number, std::uint32_t to);
  Pattern restricted(const Pattern& pattern, const TargetGroup& to) const;
  bool speaks_of(std::uint32_t rule, const TargetGroup& to) const;
  Link make_link(const Pattern& pattern, const TargetGroup& to) const;
  Offer offer_of(std::uint32_t rule, const TargetGroup& to) const;
  void count(TargetGroup& group, const Link& link, std::int32_t by);
  void retarget(std::uint32_t group);
  void erase_principal_group(std::uint32_t group);
  void erase_target_group(std::uint32_t group);

  RuleBook& rules_;
  std::uint64_t epoch_ = 0;
  std::vector<std::unique_ptr<TargetGroup>> targets_;
  std::vector<std::unique_ptr<PrincipalGroup>> principals_;
  std::vector<std::uint32_t> free_targets_, free_principals_;
  std::map<Place, std::uint32_t> by_segments_;                              ///< under the policy in force
  std::map<std::vector<std::uint32_t>, std::vector<std::uint32_t>> alike_;  ///< by segments' numbers
  std::unordered_map<Pattern, std::uint32_t, PatternHash> by_pattern_;
  std::vector<std::uint32_t> observing_, retargeted_;
  std::vector<std::uint32_t> empty_targets_, empty_principals_;  ///< that may have lost their last member
};

}  // namespace cordon::policy::engine
