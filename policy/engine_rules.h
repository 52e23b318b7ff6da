#pragma once
// The policy in force as the engine knows it: a rule keeps its number as long as it says the same, a segment
// as long as the engine lives, and a change of policy is told as who may be concerned.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "policy/node_state.h"
#include "policy/selectors.h"
#include "policy/standing.h"
#include "policy/world.h"

namespace cordon::policy::engine {

struct KnownRule {
  /// The accesses that it names in one segment.
  struct At {
    std::uint32_t segment = 0;
    std::vector<Access> accesses;
  };
  std::string name;
  bool responders = false;
  GrantValue value;                          ///< what an entry made from it holds
  std::vector<At> reaches;                   ///< by segment
  std::unordered_set<std::uint32_t> groups;  ///< of principals that hold it

  /// Does it speak of targets in that state (P10)?
  bool applies(bool isolated) const { return isolated ? responders : value.deny || !responders; }
};

struct KnownSegment {
  std::string name;
  std::vector<std::uint32_t> rules;          ///< that reach it
  std::vector<std::uint32_t> target_groups;  ///< in it
};

/// Whom a change of policy may concern.
struct Concerned {
  std::unordered_set<std::string> users, claims;  ///< people by their names and claims
  std::unordered_set<const Group*> groups;        ///< whose people are among those
  std::set<std::string> tags, device_ids;         ///< machines
  std::set<std::uint32_t> segments;               ///< all that are in them
};

class RuleBook {
 public:
  /// Puts a policy in force in place of the last.
  Concerned change(const World& world);

  const Policy& policy() const { return *policy_; }
  const Selectors& selectors() const { return *selectors_; }
  const KnownRule& rule(std::uint32_t number) const { return rules_[number]; }
  KnownRule& rule(std::uint32_t number) { return rules_[number]; }
  /// The rules at these positions, in the order of their names; valid until the next call.
  std::span<const SelectedRule> selected(const Positions& positions);
  /// Another one as soon as people may be in other groups.
  std::uint64_t membership_version() const { return membership_version_; }
  /// Null: no rule has that number.
  const std::string* name_of(RuleId rule) const {
    const auto found = names_.find(rule);
    return found == names_.end() ? nullptr : &found->second;
  }

  const KnownSegment& segment(std::uint32_t number) const { return segments_[number]; }
  KnownSegment& segment(std::uint32_t number) { return segments_[number]; }
  /// The numbers of the segments at these positions, in order.
  std::vector<std::uint32_t> numbers_of(const Positions& segments) const;

 private:
  std::uint32_t segment_number(const std::string& name);
  std::vector<KnownRule::At> reaches_of(const Rule& rule);
  std::uint32_t add(const World& world, const Rule& rule, std::vector<KnownRule::At> reaches);
  void drop(std::uint32_t number);
  static void concern(Concerned& concerned, const Policy& policy, const Rule& rule,
                      const std::unordered_map<std::string, std::uint32_t>& segments);

  PolicyPtr policy_ = std::make_shared<const Policy>();
  PolicyPtr members_of_ = policy_;  ///< the policy whose groups these are; those in force are the same
  std::shared_ptr<const Membership> membership_ = std::make_shared<const Membership>(policy_->groups);
  std::uint64_t membership_version_ = 1;
  std::unique_ptr<Selectors> selectors_ = std::make_unique<Selectors>(*policy_, membership_);
  std::deque<KnownRule> rules_;
  std::vector<SelectedRule> by_position_, selected_;
  std::vector<std::uint32_t> segment_by_position_;
  std::deque<KnownSegment> segments_;
  std::unordered_map<std::string, std::uint32_t> segment_numbers_;
  std::unordered_map<RuleId, std::string> names_;
};

}  // namespace cordon::policy::engine
