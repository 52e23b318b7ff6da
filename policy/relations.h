#pragma once
// Who may reach whom, in groups: principals of which the rules say the same and targets in the same segments
// are alike, so each pair of groups is worked out once.

#include <cstdint>
#include <map>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "policy/port_table.h"
#include "policy/selectors.h"
#include "policy/standing.h"
#include "policy/world.h"

namespace cordon::policy {

/// A session (null: none) on a device, or the device for itself, that may hold something now.
struct Principal {
  const Device* device = nullptr;
  const Session* session = nullptr;
  std::array<Timestamp, kDeadlineSlots> deadlines = PrincipalValue::no_deadlines();
  std::uint32_t group = 0;

  const OverlayAddresses& addresses() const { return session ? session->addresses : device->addresses; }
};

class Relations {
 public:
  /// The world must outlive this.
  Relations(const World& world, Timestamp now);

  struct Link {
    std::uint32_t group;                                   ///< at the other end
    std::shared_ptr<const std::vector<PortGrant>> grants;  ///< not empty
  };
  struct PrincipalGroup {
    Pattern pattern;
    std::vector<std::uint32_t> members;  ///< in principals()
    std::vector<Link> targets;
  };
  struct TargetGroup {
    Positions segments;
    TargetId id;
    bool isolated = false;
    bool observes = false;  ///< P9
    std::vector<const Device*> members;
    std::vector<Link> sources;
  };

  const Selectors& selectors() const { return selectors_; }
  const std::vector<Principal>& principals() const { return principals_; }
  const PrincipalGroup& group_of(const Principal& principal) const {
    return principal_groups_[principal.group];
  }
  const PrincipalGroup& principal_group(std::uint32_t group) const { return principal_groups_[group]; }
  const std::vector<TargetGroup>& target_groups() const { return target_groups_; }
  std::uint32_t number_of(const Device& target) const { return group_by_target_.at(target.id); }
  const TargetGroup& group_of(const Device& target) const { return target_groups_[number_of(target)]; }
  /// What is behind this gateway.
  const std::vector<const Device*>& behind(const DeviceId& gateway) const;
  /// The target groups that this node enforces for: its own and those of what is behind it; in order.
  std::vector<std::uint32_t> hosted_by(const Device& node) const;
  /// The principals on a device; none while it is isolated.
  std::vector<const Principal*> principals_on(const DeviceId& device) const;
  /// Sessions of a device that are neither over nor of a disabled user, whether or not they hold anything.
  std::vector<const Session*> sessions_on(const DeviceId& device) const;
  /// The first moment at which time alone may change any of this.
  Timestamp changes_at() const { return changes_at_; }

 private:
  void add_devices();
  void add_sessions();
  void add_target(const Device& device, Positions segments);
  void add_principal(Principal principal, const Positions& rules, const User* user);
  void link_groups();
  void link_group(std::uint32_t group,
                  const std::vector<std::vector<std::uint32_t>>& target_groups_by_segment);
  std::vector<PortGrant> grants_between(const Pattern& from, const TargetGroup& to) const;
  /// None when the rule has nothing to say of such a target.
  std::vector<Offer> offer_of(std::uint32_t rule, const TargetGroup& to) const;

  const World& world_;
  Timestamp now_;
  Timestamp changes_at_ = kNever;
  Selectors selectors_;
  std::vector<Principal> principals_;
  std::vector<PrincipalGroup> principal_groups_;
  std::map<Pattern, std::uint32_t> principal_group_numbers_;
  std::vector<TargetGroup> target_groups_;
  std::map<std::pair<Positions, bool>, std::uint32_t> target_group_numbers_;
  std::unordered_map<DeviceId, std::uint32_t> group_by_target_;
  std::unordered_map<DeviceId, std::vector<const Device*>> behind_;  ///< by gateway
  std::unordered_map<DeviceId, std::vector<std::uint32_t>> principals_by_device_;
  std::unordered_map<DeviceId, std::vector<const Session*>> sessions_by_device_;
};

}  // namespace cordon::policy
