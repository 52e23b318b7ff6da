#include "policy/learn_select.h"

#include <algorithm>

namespace cordon::policy {
namespace {

/// What a selector costs in the text; one who is let in without having been seen costs 1.
std::size_t words_of(LearnSelector::Kind kind) {
  switch (kind) {
    case LearnSelector::Kind::group:
    case LearnSelector::Kind::segment:
    case LearnSelector::Kind::tag:
      return 2;
    case LearnSelector::Kind::user:
      return 3;
    case LearnSelector::Kind::device:
      return 4;
  }
  return 4;
}

}  // namespace

LearnSelect::LearnSelect(const World& world, const PlanSide& side) : world_(world) {
  add_people();
  add_machines(side);
}

void LearnSelect::add(const LearnSelector& selector, const LearnSource& source) {
  if (selected_[selector].insert(source).second) by_source_[source].push_back(selector);
}

void LearnSelect::add_people() {
  std::map<std::string, LearnSource> by_name;
  for (const auto& [id, user] : world_.users) {
    if (user.disabled || user.name.empty()) continue;
    const LearnSource source{.person = true, .id = id.value};
    by_name.emplace(user.name, source);
    add({.kind = LearnSelector::Kind::user, .name = user.name}, source);
  }
  for (const auto& [name, group] : world_.policy->groups) {
    const LearnSelector selector{.kind = LearnSelector::Kind::group, .name = name};
    for (const std::string& user : group.users) {
      const auto known = by_name.find(user);  // who never signed in would be let in too
      add(selector, known == by_name.end() ? LearnSource{.person = true, .id = user} : known->second);
    }
    if (!group.claims.empty()) add_claimants(selector, group);
  }
}

/// A claim is a session's: only who carries one in every open session is surely in the group.
void LearnSelect::add_claimants(const LearnSelector& selector, const Group& group) {
  std::map<SubjectId, std::pair<bool, bool>> carries;  // some session does, some doesn't
  for (const auto& [id, session] : world_.sessions) {
    const bool does =
        std::ranges::any_of(session.claims, [&](const auto& c) { return group.claims.contains(c); });
    (does ? carries[session.user].first : carries[session.user].second) = true;
  }
  for (const auto& [user, how] : carries) {
    const LearnSource source{.person = true, .id = user.value};
    if (!how.first || selected_[selector].contains(source)) continue;
    add(selector,
        how.second ? LearnSource{.person = true, .id = name_of(source) + " (in some sessions)"} : source);
  }
}

void LearnSelect::add_machines(const PlanSide& side) {
  for (const auto& [id, device] : world_.devices) {
    if (!device.is_node()) continue;
    const LearnSource source{.person = false, .id = id.value};
    for (const std::string& tag : device.tags) add({.kind = LearnSelector::Kind::tag, .name = tag}, source);
    const Positions segments = side.selectors().segments_of(device);
    for (const std::uint32_t segment : segments)
      add({.kind = LearnSelector::Kind::segment, .name = side.selectors().name_of(segment)}, source);
    // In one more segment, which enforces, a device that observes would begin to enforce.
    if (!side.observes(segments, false)) add({.kind = LearnSelector::Kind::device, .name = id.value}, source);
  }
}

const std::set<LearnSource>& LearnSelect::selected_by(const LearnSelector& selector) const {
  return selected_.at(selector);
}

std::string LearnSelect::name_of(const LearnSource& source) const {
  const auto user = world_.users.find(SubjectId(source.id));
  return source.person && user != world_.users.end() && !user->second.name.empty() ? user->second.name
                                                                                   : source.id;
}

LearnSelectors LearnSelect::cover(const std::set<LearnSource>& sources) const {
  struct Candidate {
    std::size_t cost = 0, beyond = 0;
    std::vector<LearnSource> covers;
  };
  std::map<LearnSelector, Candidate> candidates;
  for (const LearnSource& source : sources) {
    const auto selectors = by_source_.find(source);
    if (selectors == by_source_.end()) continue;
    for (const LearnSelector& selector : selectors->second) candidates[selector].covers.push_back(source);
  }
  for (auto& [selector, candidate] : candidates) {
    candidate.beyond = selected_.at(selector).size() - candidate.covers.size();
    candidate.cost = words_of(selector.kind) + candidate.beyond;
  }
  LearnSelectors chosen;
  std::set<LearnSource> left = sources;
  while (!left.empty()) {
    const std::pair<const LearnSelector, Candidate>* best = nullptr;
    std::size_t best_covers = 0;
    for (const auto& candidate : candidates) {
      const auto covers = static_cast<std::size_t>(
          std::ranges::count_if(candidate.second.covers, [&](const auto& s) { return left.contains(s); }));
      if (covers == 0) continue;
      const std::size_t cost = candidate.second.cost;
      // Less cost for each that is covered; of equals the one that lets in fewer, then the one that reads
      // best.
      const bool better =
          best == nullptr || cost * best_covers < best->second.cost * covers ||
          (cost * best_covers == best->second.cost * covers && candidate.second.beyond < best->second.beyond);
      if (!better) continue;
      best = &candidate;
      best_covers = covers;
    }
    if (best == nullptr) break;
    // Once one at a time is best it stays so: wider selectors only get worse as fewer are left.
    const LearnSelector::Kind kind = best->first.kind;
    const bool one_by_one = kind == LearnSelector::Kind::user || kind == LearnSelector::Kind::device;
    std::vector<LearnSelector> taken{best->first};
    for (const auto& [selector, candidate] : candidates)
      if (one_by_one && selector.kind == kind && left.contains(candidate.covers.front()))
        taken.push_back(selector);
    for (const LearnSelector& selector : taken) {
      const auto candidate = candidates.find(selector);
      if (candidate == candidates.end()) continue;
      for (const LearnSource& source : candidate->second.covers) left.erase(source);
      chosen.insert(selector);
      candidates.erase(candidate);
    }
  }
  return chosen;
}

}  // namespace cordon::policy
