#include "policy/selectors.h"

#include <algorithm>
#include <utility>

#include "policy/ordered_set.h"

namespace cordon::policy {
namespace {

void append(Positions& out, const Positions& more) {
  out.insert(out.end(), more.begin(), more.end());
}

/// P3: a person of whom no name is known may be the one that a forbid names.
bool may_name_anybody(const Policy& policy, const Rule& rule) {
  if (rule.effect != Effect::forbid) return false;
  return !rule.from.users.empty() || std::ranges::any_of(rule.from.groups, [&](const std::string& name) {
    const auto group = policy.groups.find(name);
    return group != policy.groups.end() && !group->second.users.empty();
  });
}

}  // namespace

Membership::Membership(const std::map<std::string, Group>& groups) {
  std::size_t users = 0;  // growing by rehashing would cost as much again
  for (const auto& [name, group] : groups) users += group.users.size();
  by_user.reserve(users);
  std::uint32_t position = 0;
  for (const auto& [name, group] : groups) {
    for (const std::string& user : group.users) by_user[user].push_back(position);
    for (const std::string& claim : group.claims) by_claim[claim].push_back(position);
    ++position;
  }
}

Selectors::Selectors(const Policy& policy)
    : Selectors(policy, std::make_shared<const Membership>(policy.groups)) {}

Selectors::Selectors(const Policy& policy, std::shared_ptr<const Membership> membership)
    : policy_(policy),
      membership_(std::move(membership)),
      rules_by_group_(policy.groups.size()),
      rules_by_segment_(policy.segments.size()) {
  std::unordered_map<std::string_view, std::uint32_t> group_positions;
  group_positions.reserve(policy.groups.size());
  for (const auto& [name, group] : policy.groups)
    group_positions.emplace(name, static_cast<std::uint32_t>(group_positions.size()));
  for (const auto& [name, segment] : policy.segments) {
    const auto position = static_cast<std::uint32_t>(segments_.size());
    segments_.push_back(&segment);
    segment_names_.push_back(&name);
    segment_positions_.emplace(name, position);
    for (const Member& member : segment.members)
      (member.kind == Member::Kind::tag ? segments_by_tag_ : segments_by_device_)[member.name].push_back(
          position);
  }
  for (std::uint32_t i = 0; i < policy.rules.size(); ++i) {
    const Subject& from = policy.rules[i].from;
    for (const std::string& user : from.users) rules_by_user_[user].push_back(i);
    if (may_name_anybody(policy, policy.rules[i])) rules_for_nameless_.push_back(i);
    for (const std::string& group : from.groups)
      if (const auto it = group_positions.find(group); it != group_positions.end())
        rules_by_group_[it->second].push_back(i);
    if (from.for_people()) continue;  // P2: one of the two kinds
    for (const std::string& tag : from.tags) rules_by_tag_[tag].push_back(i);
    for (const std::string& segment : from.segments)
      if (const auto it = segment_positions_.find(segment); it != segment_positions_.end())
        rules_by_segment_[it->second].push_back(i);
  }
}

void Selectors::append(Positions& out, const Index& index, std::string_view key) {
  if (const auto it = index.find(key); it != index.end()) policy::append(out, it->second);
}

Positions Selectors::segments_of(const Device& device) const {
  Positions out;
  if (device.state != DeviceState::active) return out;
  for (const std::string& tag : device.tags) append(out, segments_by_tag_, tag);
  append(out, segments_by_device_, device.id.value);
  make_set(out);
  return out;
}

Positions Selectors::groups_of(const Session& session, const User& user) const {
  Positions groups;
  append(groups, membership_->by_user, user.name);
  for (const std::string& claim : session.claims) append(groups, membership_->by_claim, claim);
  make_set(groups);
  return groups;
}

Positions Selectors::rules_of(const User& user, const Positions& groups) const {
  Positions out;
  if (!rules_by_user_.empty()) append(out, rules_by_user_, user.name);
  if (user.name.empty()) policy::append(out, rules_for_nameless_);
  for (const std::uint32_t group : groups) policy::append(out, rules_by_group_[group]);
  make_set(out);
  return out;
}

Positions Selectors::rules_of(const Device& device, const Positions& segments) const {
  Positions out;
  for (const std::string& tag : device.tags) append(out, rules_by_tag_, tag);
  for (const std::uint32_t segment : segments) policy::append(out, rules_by_segment_[segment]);
  make_set(out);
  return out;
}

}  // namespace cordon::policy
