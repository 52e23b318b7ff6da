// What principals hold, looked at again when due or asked for: Population of policy/engine_population.h.

#include <algorithm>
#include <utility>

#include "policy/engine_population.h"

namespace cordon::policy::engine {

void Population::queue(std::uint32_t principal) {
  if (std::exchange(queued_[principal], epoch_) != epoch_) queue_.push_back(principal);
}

void Population::queue_with_new_facts(std::uint32_t principal) {
  seen_[principal] = {};
  queue(principal);
}

void Population::queue_all_on(std::uint32_t device) {
  each_principal_on(device, When::now, [&](std::uint32_t principal) { queue_with_new_facts(principal); });
}

void Population::touch_due(Timestamp now) {
  std::vector<std::uint32_t> due;
  for (const auto& [at, number] : due_) {
    if (at > now) break;
    due.push_back(number);
  }
  for (const std::uint32_t number : due) {
    const auto& session = principals_[number].session;
    if (session)
      touch_session(SessionId{session->id});  // it may have gone when it ended
    else
      queue(number);
  }
}

void Population::settle(Timestamp now) {
  std::ranges::sort(queue_);  // as they lie in memory
  for (const std::uint32_t principal : queue_) judge(principal, now);
  queue_.clear();
}

Standing Population::standing(const PrincipalRecord& record, Timestamp now, Seen& seen) const {
  const Selectors& selectors = rules_.selectors();
  const Device& device = *devices_[record.device].in_world;
  Asker asker{.device = &device, .session = record.in_world.get(), .user = nullptr};
  Positions positions;
  if (record.in_world != nullptr) {
    asker.user = record.user.get();
    if (std::exchange(seen.membership_version, rules_.membership_version()) != rules_.membership_version())
      seen.groups = selectors.groups_of(*record.in_world, *asker.user);
    positions = selectors.rules_of(*asker.user, seen.groups);
  } else {
    positions = selectors.rules_of(device, selectors.segments_of(device));
  }
  return standing_of(rules_.policy(), rules_.selected(positions), asker, record.ends_at, now, &seen.outlooks);
}

/// What a principal holds from now on.
void Population::judge(std::uint32_t number, Timestamp now) {
  PrincipalRecord& record = change_principal(number);
  const DeviceRecord& device = devices_[record.device];
  const bool is_device = record.session == nullptr;
  record.live = false;
  const bool active = device.active && device.gateway == kNone;
  if (!is_device && record.in_world != nullptr && active && now < record.ends_at)
    record.live = record.user != nullptr && !record.user->disabled;
  record.there = active && !device.isolated && (is_device || record.live);
  if (record.there || record.live)
    record.addresses = is_device ? device.addresses : record.in_world->addresses;
  Standing standing;
  if (record.live) standing.changes_at = record.ends_at;
  if (record.there) standing = this->standing(record, now, seen_[number]);
  record.deadlines = standing.deadlines;
  const std::uint32_t group = standing.pattern.empty() ? kNone : groups_.principal_group(standing.pattern);
  if (group != record.group) move_principal(record, number, group);
  set_due(record, number, standing.changes_at);
}

void Population::move_principal(PrincipalRecord& record, std::uint32_t number, std::uint32_t group) {
  if (record.group != kNone)
    if (const std::uint32_t moved = groups_.leave_principals(record.group, record.place); moved != kNone)
      principals_[moved].place = record.place;
  record.group = group;
  if (group != kNone) groups_.join_principals(group, number, record.place);
}

void Population::set_due(PrincipalRecord& record, std::uint32_t number, Timestamp at) {
  if (record.changes_at == at) return;
  if (record.changes_at != kNever) due_.erase({record.changes_at, number});
  record.changes_at = at;
  if (at != kNever) due_.emplace(at, number);
}

}  // namespace cordon::policy::engine
