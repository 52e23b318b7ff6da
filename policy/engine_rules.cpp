#include "policy/engine_rules.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "policy/coverage.h"

namespace cordon::policy::engine {
namespace {

bool same(const Hours& a, const Hours& b) {
  return a.windows == b.windows && a.zone == b.zone;
}

bool same(const Conditions& a, const Conditions& b) {
  if (a.hours.has_value() != b.hours.has_value() || (a.hours && !same(*a.hours, *b.hours))) return false;
  return a.assurance == b.assurance && a.auth_age_max == b.auth_age_max && a.trust_min == b.trust_min &&
         a.health_min == b.health_min && a.require == b.require && a.attestation == b.attestation &&
         a.valid_from == b.valid_from && a.valid_until == b.valid_until &&
         a.source_networks == b.source_networks && a.countries == b.countries;
}

bool same(const Subject& a, const Subject& b) {
  return a.users == b.users && a.groups == b.groups && a.device_classes == b.device_classes &&
         a.segments == b.segments && a.tags == b.tags;
}

bool same(const std::vector<Destination>& a, const std::vector<Destination>& b) {
  return std::ranges::equal(a, b, [](const Destination& x, const Destination& y) {
    return x.segment == y.segment && x.service == y.service && x.accesses == y.accesses;
  });
}

/// What they say by themselves; what services are is compared apart.
bool same(const Rule& a, const Rule& b) {
  if (a.unless.has_value() != b.unless.has_value() || (a.unless && !same(*a.unless, *b.unless))) return false;
  return a.effect == b.effect && a.name == b.name && a.lease == b.lease && a.responders == b.responders &&
         same(a.from, b.from) && same(a.when, b.when) && same(a.to, b.to);
}

bool same(const DeviceClass& a, const DeviceClass& b) {
  return a.ownership == b.ownership && a.tags == b.tags && a.health_min == b.health_min &&
         a.require == b.require && a.attestation == b.attestation;
}

bool same(const TrustSettings& a, const TrustSettings& b) {
  return a.method == b.method && a.health == b.health && a.weights.identity == b.weights.identity &&
         a.weights.device == b.weights.device && a.weights.behaviour == b.weights.behaviour &&
         a.identity == b.identity && a.tpm_points == b.tpm_points &&
         a.unattested_health_max == b.unattested_health_max;
}

/// Does what it means hang on something outside the rule that is another now?
bool meaning_changed(const Policy& from, const Policy& to, const Rule& rule, bool trust_changed) {
  const bool conditions = !rule.when.empty() || rule.unless || !rule.from.device_classes.empty();
  if (trust_changed && conditions) return true;
  return std::ranges::any_of(rule.from.device_classes, [&](const std::string& name) {
    const auto a = from.device_classes.find(name);
    const auto b = to.device_classes.find(name);
    return a == from.device_classes.end() || b == to.device_classes.end() || !same(a->second, b->second);
  });
}

template <class To, class From>
void add_all(To& to, const From& from) {
  to.insert(from.begin(), from.end());
}

/// What is in one of them only.
template <class To, class Set>
void add_differences(To& to, const Set& a, const Set& b) {
  std::ranges::set_symmetric_difference(a, b, std::inserter(to, to.end()));
}

/// Whoever has no name may be anybody that a forbid names (P3).
const std::string kNameless;

/// False: nothing about groups changed.
bool concern_groups(Concerned& concerned, const Policy& from, const Policy& to) {
  static const Group kNobody;
  bool changed = from.groups.size() != to.groups.size();
  const auto compare = [&](const Group& a, const Group& b) {
    if (a.users == b.users && a.claims == b.claims) return;
    changed = true;
    concerned.users.insert(kNameless);
    add_differences(concerned.users, a.users, b.users);
    add_differences(concerned.claims, a.claims, b.claims);
  };
  for (const auto& [name, group] : from.groups) {
    const auto other = to.groups.find(name);
    changed = changed || other == to.groups.end();
    compare(group, other == to.groups.end() ? kNobody : other->second);
  }
  for (const auto& [name, group] : to.groups)
    if (!from.groups.contains(name)) compare(kNobody, group);
  return changed;
}

void concern_members(Concerned& concerned, const std::vector<Member>& members,
                     const std::vector<Member>& others) {
  for (const Member& member : members)
    if (std::ranges::find(others, member) == others.end())
      (member.kind == Member::Kind::tag ? concerned.tags : concerned.device_ids).insert(member.name);
}

void concern_segments(Concerned& concerned, const Policy& from, const Policy& to,
                      const std::unordered_map<std::string, std::uint32_t>& numbers) {
  static const Segment kNone;
  const auto compare = [&](const std::string& name, const Segment& a, const Segment& b) {
    concern_members(concerned, a.members, b.members);
    concern_members(concerned, b.members, a.members);
    if (a.mode != b.mode || a.underlay != b.underlay || a.services != b.services)
      concerned.segments.insert(numbers.at(name));
  };
  for (const auto& [name, segment] : from.segments) {
    const auto other = to.segments.find(name);
    compare(name, segment, other == to.segments.end() ? kNone : other->second);
  }
  for (const auto& [name, segment] : to.segments)
    if (!from.segments.contains(name)) compare(name, kNone, segment);
}

/// Segments that offer something else now.
std::set<std::string> remade_segments(const Policy& from, const Policy& to) {
  std::set<std::string> out;
  for (const auto& [name, segment] : to.segments)
    if (const auto was = from.segments.find(name);
        was == from.segments.end() || was->second.services != segment.services)
      out.insert(name);
  return out;
}

}  // namespace

void RuleBook::concern(Concerned& concerned, const Policy& policy, const Rule& rule,
                       const std::unordered_map<std::string, std::uint32_t>& segments) {
  add_all(concerned.users, rule.from.users);
  if (rule.effect == Effect::forbid && rule.from.for_people()) concerned.users.insert(kNameless);
  for (const std::string& name : rule.from.groups)
    if (const auto group = policy.groups.find(name);
        group != policy.groups.end() && concerned.groups.insert(&group->second).second) {
      add_all(concerned.users, group->second.users);
      add_all(concerned.claims, group->second.claims);
    }
  add_all(concerned.tags, rule.from.tags);
  for (const std::string& name : rule.from.segments)
    if (const auto segment = segments.find(name); segment != segments.end())
      concerned.segments.insert(segment->second);
}

Concerned RuleBook::change(const World& world) {
  Concerned concerned;
  const PolicyPtr last = std::exchange(policy_, world.policy);
  const Policy& from = *last;
  const Policy& to = *policy_;
  for (const auto& [name, segment] : to.segments) segment_number(name);
  const bool groups_changed = concern_groups(concerned, from, to);
  concern_segments(concerned, from, to, segment_numbers_);

  const bool trust_changed = !same(from.trust, to.trust);
  const std::set<std::string> remade = remade_segments(from, to);
  const auto reaches_remade = [&](const Rule& rule) {
    return !remade.empty() && std::ranges::any_of(rule.to, [&](const Destination& destination) {
      return remade.contains(destination.segment);
    });
  };
  std::vector<SelectedRule> rules;
  rules.reserve(to.rules.size());
  std::size_t i = 0;  // both are by name
  const auto gone = [&](std::size_t position) {
    concern(concerned, from, from.rules[position], segment_numbers_);
    drop(by_position_[position].number);
  };
  for (const Rule& rule : to.rules) {
    for (; i < from.rules.size() && from.rules[i].name < rule.name; ++i) gone(i);
    if (i < from.rules.size() && from.rules[i].name == rule.name) {
      const std::size_t was = i++;
      const bool stays = same(from.rules[was], rule) && !reaches_remade(rule) &&
                         !meaning_changed(from, to, rule, trust_changed);
      if (stays) {
        rules.push_back(selected_rule(rule, by_position_[was].number));
        continue;
      }
      gone(was);
    }
    rules.push_back(selected_rule(rule, add(world, rule, reaches_of(rule))));
    concern(concerned, to, rule, segment_numbers_);
  }
  for (; i < from.rules.size(); ++i) gone(i);
  by_position_ = std::move(rules);

  if (groups_changed) {
    membership_ = std::make_shared<const Membership>(to.groups);
    members_of_ = policy_;
    ++membership_version_;
  }
  selectors_ = std::make_unique<Selectors>(to, membership_);
  segment_by_position_.clear();
  for (const auto& [name, segment] : to.segments) segment_by_position_.push_back(segment_numbers_.at(name));
  return concerned;
}

std::span<const SelectedRule> RuleBook::selected(const Positions& positions) {
  selected_.clear();
  for (const std::uint32_t position : positions) selected_.push_back(by_position_[position]);
  return selected_;
}

std::vector<std::uint32_t> RuleBook::numbers_of(const Positions& segments) const {
  std::vector<std::uint32_t> out;
  out.reserve(segments.size());
  for (const std::uint32_t position : segments) out.push_back(segment_by_position_[position]);
  std::ranges::sort(out);
  return out;
}

std::uint32_t RuleBook::segment_number(const std::string& name) {
  const auto [it, fresh] = segment_numbers_.try_emplace(name, static_cast<std::uint32_t>(segments_.size()));
  if (fresh) segments_.push_back({.name = name, .rules = {}, .target_groups = {}});
  return it->second;
}

std::vector<KnownRule::At> RuleBook::reaches_of(const Rule& rule) {
  std::vector<KnownRule::At> out;
  for (const Destination& to : rule.to) {
    const std::uint32_t segment = segment_number(to.segment);
    auto accesses = accesses_of(*policy_, to);
    if (accesses.empty()) continue;
    auto at = std::ranges::find(out, segment, &KnownRule::At::segment);
    if (at == out.end()) at = out.insert(at, {.segment = segment, .accesses = {}});
    at->accesses.insert(at->accesses.end(), accesses.begin(), accesses.end());
  }
  std::ranges::sort(out, {}, &KnownRule::At::segment);
  return out;
}

std::uint32_t RuleBook::add(const World& world, const Rule& rule, std::vector<KnownRule::At> reaches) {
  const auto number = static_cast<std::uint32_t>(rules_.size());
  KnownRule& known = rules_.emplace_back();
  known.name = rule.name;
  known.responders = rule.responders;
  if (const auto id = world.rule_ids.find(rule.name); id != world.rule_ids.end()) {
    known.value.rule = id->second;
    names_.try_emplace(id->second, rule.name);
  }
  known.value.deny = rule.effect == Effect::forbid;
  if (!known.value.deny) {
    known.value.responder = rule.responders;
    known.value.lease_s = static_cast<std::uint32_t>(rule.lease.count());
  }
  known.reaches = std::move(reaches);
  for (const KnownRule::At& at : known.reaches) segments_[at.segment].rules.push_back(number);
  return number;
}

/// Its record stays: groups that are about to go speak of it still.
void RuleBook::drop(std::uint32_t number) {
  for (const KnownRule::At& at : rules_[number].reaches) std::erase(segments_[at.segment].rules, number);
}

}  // namespace cordon::policy::engine
