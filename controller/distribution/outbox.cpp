#include "controller/distribution/outbox.h"

#include <algorithm>
#include <set>

namespace cordon::controller {

namespace {

using policy::Direction;
using policy::GrantKey;
using policy::Key;
using policy::Value;

/// An upsert that hasn't been told yet of a grant in that direction.
bool is_grant(const Key& key, Direction direction) {
  const auto* grant = std::get_if<GrantKey>(&key);
  return grant != nullptr && grant->direction == direction;
}

}  // namespace

void Outbox::reset(const policy::NodeState& state) {
  held_ = state;
  digest_ = policy::digest(state);
  pending_.clear();
}

Outbox::Added Outbox::add(const policy::NodeDelta& delta, Revision revision) {
  Added added;
  delta.each([&](const policy::Change& change) { add(change, revision, added); });
  return added;
}

void Outbox::add(const policy::Change& change, Revision revision, Added& added) {
  const auto in_held = held_.entries.find(change.key);
  const Value* held = in_held == held_.entries.end() ? nullptr : &in_held->second;
  const auto [at, first] = pending_.try_emplace(change.key);
  Pending& pending = at->second;
  const Value* old = first ? held : (pending.value ? &*pending.value : nullptr);
  const bool takes = policy::takes_away(old, change);
  added.takes_away = added.takes_away || takes;
  if (first) pending.since = revision;
  // A reduction that another change overtakes must still cut what was decided before it.
  if (!change.value || (!first && (pending.reduced || takes))) pending.was_removed = true;
  pending.reduced = pending.reduced || takes;
  const bool same = change.value ? held != nullptr && *held == *change.value : held == nullptr;
  if (same && !(change.value && pending.was_removed)) {
    pending_.erase(at);
    added.overtaken = true;
    return;
  }
  pending.urgent = !change.value || pending.was_removed || policy::takes_away(held, change);
  pending.value = change.value;
}

/// What the source of a new flow is told last: its grants towards others, and (where it is no target itself)
/// the peers and targets that go with them.
bool Outbox::held_back(const Key& key, bool target_side) const {
  if (is_grant(key, Direction::egress)) return true;
  if (target_side) return false;
  return std::holds_alternative<policy::PeerKey>(key) || std::holds_alternative<policy::TargetKey>(key);
}

std::vector<Outbox::PendingMap::iterator> Outbox::select(Which which) {
  std::set<ClassId>
      moved_to;  // by urgent principals: their grants must come along, or access is lost in between
  bool source_side = false;
  bool target_side = false;
  for (const auto& [key, pending] : pending_) {
    source_side = source_side || is_grant(key, Direction::egress);
    target_side = target_side || is_grant(key, Direction::ingress);
    if (pending.value && std::holds_alternative<policy::PrincipalKey>(key) && pending.urgent) {
      moved_to.insert(std::get<policy::PrincipalValue>(*pending.value).class_id);
    }
  }
  const auto comes_along = [&](const Key& key) {
    if (const auto* grant = std::get_if<GrantKey>(&key)) return moved_to.contains(grant->class_id);
    return !moved_to.empty() &&
           (std::holds_alternative<policy::RuleKey>(key) || std::holds_alternative<policy::TargetKey>(key) ||
            std::holds_alternative<policy::PeerKey>(key));
  };
  std::vector<PendingMap::iterator> chosen;
  for (auto it = pending_.begin(); it != pending_.end(); ++it) {
    const bool urgent = it->second.urgent || comes_along(it->first);
    const bool ready = which == Which::all || urgent ||
                       (which == Which::ready && !(source_side && held_back(it->first, target_side)));
    if (ready) chosen.push_back(it);
  }
  return chosen;
}

bool Outbox::has(Which which) const {
  if (pending_.empty()) return false;
  if (which == Which::all) return true;
  if (which == Which::urgent) {
    return std::ranges::any_of(pending_, [&](const auto& e) { return e.second.urgent; });
  }
  return !const_cast<Outbox*>(this)->select(which).empty();  // select() changes nothing
}

void Outbox::hold(const Key& key, const std::optional<Value>& value) {
  const auto at = held_.entries.lower_bound(key);
  const bool there = at != held_.entries.end() && at->first == key;
  if (there) digest_.remove(policy::encode(key, at->second));
  if (value) digest_.add(policy::encode(key, *value));
  if (there && value)
    at->second = *value;
  else if (there)
    held_.entries.erase(at);
  else if (value)
    held_.entries.emplace_hint(at, key, *value);
}

std::vector<Outbox::Out> Outbox::take(Which which) {
  std::vector<Out> removals;
  std::vector<Out> upserts;
  for (const auto it : select(which)) {
    Pending& pending = it->second;
    Out out{.key = it->first,
            .value = std::move(pending.value),
            .was_removed = pending.was_removed,
            .generation = ++generation_};
    hold(out.key, out.value);
    (out.value ? upserts : removals).push_back(std::move(out));
    pending_.erase(it);
  }
  removals.insert(removals.end(), std::make_move_iterator(upserts.begin()),
                  std::make_move_iterator(upserts.end()));
  return removals;
}

std::vector<Outbox::Out> Outbox::whole(const std::set<Key>& tombstones) {
  std::vector<Out> whole;
  whole.reserve(held_.entries.size());
  for (const auto& [key, value] : held_.entries) {
    whole.push_back(
        {.key = key, .value = value, .was_removed = tombstones.contains(key), .generation = ++generation_});
  }
  return whole;
}

Revision Outbox::complete(Revision newest) const {
  Revision complete = newest;
  for (const auto& [key, pending] : pending_) {
    complete = std::min(complete, Revision(pending.since.value - 1));
  }
  return complete;
}

}  // namespace cordon::controller
