#pragma once
// A policy turned inside out: from a session or a device to the rules and segments that select it.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "policy/model.h"
#include "policy/world.h"

namespace cordon::policy {

/// Positions in Policy::rules, or of segments by name; sorted, each once.
using Positions = std::vector<std::uint32_t>;

/// From people to the groups that they are in.
struct Membership {
  using Index = std::unordered_map<std::string_view, Positions>;
  Index by_user, by_claim;  ///< positions of groups by name

  /// The groups must outlive this.
  explicit Membership(const std::map<std::string, Group>& groups);
};

class Selectors {
 public:
  /// The policy must outlive this.
  explicit Selectors(const Policy& policy);
  /// With the membership of a policy that has the same groups, and that outlives this too.
  Selectors(const Policy& policy, std::shared_ptr<const Membership> membership);
  const std::shared_ptr<const Membership>& membership() const { return membership_; }

  const Policy& policy() const { return policy_; }
  const Segment& segment(std::uint32_t position) const { return *segments_[position]; }
  const std::string& name_of(std::uint32_t segment) const { return *segment_names_[segment]; }

  Positions segments_of(const Device& device) const;
  /// Groups of people.
  Positions groups_of(const Session& session, const User& user) const;
  /// For people in these groups.
  Positions rules_of(const User& user, const Positions& groups) const;
  Positions rules_of(const Session& session, const User& user) const {
    return rules_of(user, groups_of(session, user));
  }
  Positions rules_of(const Device& device, const Positions& segments) const;
  /// The position of a segment that the policy has.
  std::uint32_t position_of(std::string_view segment) const { return segment_positions_.at(segment); }

 private:
  using Index = Membership::Index;
  static void append(Positions& out, const Index& index, std::string_view key);

  const Policy& policy_;
  std::vector<const Segment*> segments_;
  std::vector<const std::string*> segment_names_;
  std::unordered_map<std::string_view, std::uint32_t> segment_positions_;
  Index segments_by_tag_, segments_by_device_;
  std::shared_ptr<const Membership> membership_;
  std::vector<Positions> rules_by_group_, rules_by_segment_;
  Index rules_by_user_, rules_by_tag_;
  std::vector<std::uint32_t> rules_for_nameless_;
};

}  // namespace cordon::policy
