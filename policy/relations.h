#pragma once
// Who may reach whom, in groups: principals that the same rules select and targets in the same segments are
// alike, so each pair of groups is worked out once.

#include <cstdint>
#include <map>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "policy/port_table.h"
#include "policy/selectors.h"
#include "policy/world.h"

namespace cordon::policy {

/// A session (null: none) on a device, or the device for itself, that may hold something now.
struct Principal {
  const Device* device = nullptr;
  const Session* session = nullptr;
  std::uint32_t group = 0;

  const OverlayAddresses& addresses() const { return session ? session->addresses : device->addresses; }
  Timestamp ends_at() const { return session ? session->ends_at : kNever; }
};

class Relations {
 public:
  /// The world must outlive this.
  Relations(const World& world, Timestamp now);

  struct Link {
    std::uint32_t group;                                   ///< at the other end
    std::shared_ptr<const std::vector<PortGrant>> grants;  ///< not empty; slot 0 throughout
  };
  struct PrincipalGroup {
    Positions rules;
    std::vector<std::uint32_t> members;  ///< in principals()
    std::vector<Link> targets;
  };
  struct TargetGroup {
    Positions segments;
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
  const TargetGroup& group_of(const Device& target) const;
  /// The principals on a device; none while it is isolated.
  std::vector<const Principal*> principals_on(const DeviceId& device) const;
  /// Sessions of a device that are neither over nor of a disabled user, whether or not they hold anything.
  std::vector<const Session*> sessions_on(const DeviceId& device) const;

 private:
  /// Rules, and how many of the different leases of its allows end at the session's end: these tie (P7).
  using GroupKey = std::pair<Positions, std::size_t>;

  void add_devices();
  void add_sessions();
  void add_principal(Principal principal, Positions rules);
  std::size_t leases_cut_short(const Positions& rules, Timestamp ends_at) const;
  void link_groups();
  void link_group(std::uint32_t group,
                  const std::vector<std::vector<std::uint32_t>>& target_groups_by_segment);
  std::vector<PortGrant> grants_between(const TargetGroup& to, const Positions& rules,
                                        Timestamp ends_at) const;
  Offer offer_of(const Rule& rule, const TargetGroup& to) const;

  const World& world_;
  Timestamp now_;
  Selectors selectors_;
  std::vector<Principal> principals_;
  std::vector<PrincipalGroup> principal_groups_;
  std::map<GroupKey, std::uint32_t> principal_group_numbers_;
  std::vector<TargetGroup> target_groups_;
  std::map<std::pair<Positions, bool>, std::uint32_t> target_group_numbers_;
  std::unordered_map<DeviceId, std::uint32_t> group_by_target_;
  std::unordered_map<DeviceId, std::vector<std::uint32_t>> principals_by_device_;
  std::unordered_map<DeviceId, std::vector<const Session*>> sessions_by_device_;
};

}  // namespace cordon::policy
