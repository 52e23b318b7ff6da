#include "policy/evaluate.h"

#include <algorithm>

#include "policy/coverage.h"
#include "policy/moments.h"
#include "policy/trust.h"

namespace cordon::policy {
namespace {

/// Who asks, looked up; the reason when the answer is `deny` before any rule is read (P3).
struct KnownPrincipal {
  const Session* session = nullptr;  ///< null: the device acts for itself
  const Device* device = nullptr;
  const User* user = nullptr;
  std::string reason;
};

const Device* active_device(const World& world, const DeviceId& id) {
  const auto it = world.devices.find(id);
  return it != world.devices.end() && it->second.state == DeviceState::active ? &it->second : nullptr;
}

KnownPrincipal find_principal(const World& world, const PrincipalRef& who, Timestamp now) {
  KnownPrincipal principal;
  DeviceId device_id;
  if (const auto* id = std::get_if<SessionId>(&who)) {
    const auto session = world.sessions.find(*id);
    if (session == world.sessions.end()) return {.reason = "unknown principal"};
    principal.session = &session->second;
    const auto user = world.users.find(session->second.user);
    if (user == world.users.end()) return {.reason = "unknown principal"};
    principal.user = &user->second;
    device_id = session->second.device;
  } else {
    device_id = std::get<DeviceId>(who);
  }
  principal.device = active_device(world, device_id);
  if (!principal.device || principal.device->is_behind()) return {.reason = "unknown principal"};
  if (principal.user && principal.user->disabled) principal.reason = "disabled user";
  if (principal.session && now >= principal.session->ends_at) principal.reason = "session ended";
  if (principal.device->isolated) principal.reason = "isolated";
  return principal;
}

/// POLICY.md, Keys: a session is in the group if its user is listed or it carries one of the claims.
bool in_group(const KnownPrincipal& principal, const Group& group) {
  if (group.users.contains(principal.user->name)) return true;
  return std::ranges::any_of(principal.session->claims,
                             [&](const auto& c) { return group.claims.contains(c); });
}

/// P3: who isn't told may be anybody whom a forbid names.
bool may_be_named(const World& world, const Rule& rule, const KnownPrincipal& principal) {
  if (rule.effect != Effect::forbid || !principal.user->name.empty()) return false;
  return !rule.from.users.empty() || std::ranges::any_of(rule.from.groups, [&](const std::string& name) {
    return !world.policy->groups.at(name).users.empty();
  });
}

/// P2: users and groups select sessions, segments and tags select devices acting for themselves.
bool selects(const World& world, const Rule& rule, const KnownPrincipal& principal) {
  const Subject& from = rule.from;
  if (from.for_people() != (principal.session != nullptr)) return false;
  if (principal.session) {
    if (from.users.contains(principal.user->name) || may_be_named(world, rule, principal)) return true;
    return std::ranges::any_of(from.groups, [&](const std::string& name) {
      return in_group(principal, world.policy->groups.at(name));
    });
  }
  const auto segments = segments_of(world, *principal.device);
  return std::ranges::any_of(from.segments, [&](const auto& s) { return segments.contains(s); }) ||
         std::ranges::any_of(from.tags, [&](const auto& t) { return principal.device->tags.contains(t); });
}

/// P8, P9: one of the rule's destinations is a segment of the target and takes in the protocol and port.
bool reaches(const Policy& policy, const Rule& rule, const std::set<std::string>& target_segments,
             const Query& query) {
  return std::ranges::any_of(rule.to, [&](const Destination& to) {
    return target_segments.contains(to.segment) &&
           std::ranges::any_of(accesses_of(policy, to), [&](const Access& access) {
             return covers(access, query.protocol, query.port);
           });
  });
}

/// P10: allows for responders apply to isolated targets only, and only they do; of forbids, only those marked
/// touch isolated targets.
bool applies_in_isolation(const Rule& rule, bool target_isolated) {
  if (target_isolated) return rule.responders;
  return rule.effect == Effect::forbid || !rule.responders;
}

/// P9: the target is in at least one segment and all it is in observe. Isolation is never only observed.
bool observes(const World& world, const Device& target, const std::set<std::string>& segments) {
  return !target.cut_off() && !segments.empty() &&
         std::ranges::all_of(segments, [&](const std::string& name) {
           return world.policy->segments.at(name).mode == Mode::observe;
         });
}

/// What the trust under a rule goes by (P5): the age that its conditions speak of.
std::optional<Seconds> age_limit(const Rule& rule) {
  return rule.unless ? rule.unless->auth_age_max : rule.when.auth_age_max;
}

/// P1, P3: a forbid wins; of several the lowest name is told.
void decide_forbid(Decision& decision, const Rule& rule) {
  if (decision.verdict == Verdict::forbid && decision.rule <= rule.name) return;
  decision.verdict = Verdict::forbid;
  decision.rule = rule.name;
}

/// P7: of several allows the latest deadline, then the lowest name.
void decide_allow(Decision& decision, const Rule& rule, Timestamp deadline) {
  const bool better = decision.verdict == Verdict::deny || deadline > decision.deadline ||
                      (deadline == decision.deadline && rule.name < decision.rule);
  if (!better) return;
  decision.verdict = Verdict::allow;
  decision.rule = rule.name;
  decision.deadline = deadline;
  decision.lease = rule.lease;
  decision.responder = rule.responders;
}

/// An allow that speaks of this principal and access, but not of a target in this state (P10).
FailedCondition wrong_isolation(bool target_isolated) {
  return {.condition = "responders",
          .needed = target_isolated ? "an allow with responders = true" : "an isolated target",
          .found = target_isolated ? "an isolated target" : "a target that isn't isolated"};
}

/// A question with all that it is about looked up.
struct Asked {
  const World& world;
  const Query& query;
  const KnownPrincipal& principal;
  const Device& target;
  const std::set<std::string>& segments;  ///< of the target
  Timestamp now;

  const Policy& policy() const { return *world.policy; }
  Asker asker() const { return {principal.device, principal.session, principal.user}; }
  bool is_about(const Rule& rule) const {
    return selects(world, rule, principal) && reaches(policy(), rule, segments, query);
  }
  std::optional<int> trust_under(const Rule& rule) const {
    return trust_of(policy(), age_limit(rule), *principal.device, principal.session, now);
  }
};

/// Answers when the first of those that don't hold yet begins to (P7).
Timestamp apply_forbids(const Asked& asked, Decision& decision) {
  Timestamp first_begins = kNever;
  for (const Rule& rule : asked.policy().rules) {
    if (rule.effect != Effect::forbid || !asked.is_about(rule)) continue;
    if (!applies_in_isolation(rule, asked.target.cut_off())) continue;
    const Outlook is = outlook(asked.policy(), rule, asked.asker(), asked.now);
    if (is.holds) {
      decide_forbid(decision, rule);
      decision.because.push_back({rule.name, true, {}, asked.trust_under(rule)});
    } else {
      first_begins = std::min(first_begins, is.until);
    }
  }
  return first_begins;
}

/// Allows that hold end at `end` or before: of themselves, or with their lease.
void apply_allows(const Asked& asked, Timestamp end, Decision& decision) {
  const Policy& policy = asked.policy();
  const Asker asker = asked.asker();
  for (const Rule& rule : policy.rules) {
    if (rule.effect != Effect::allow || !asked.is_about(rule)) continue;
    Because because{rule.name, false, failed(policy, rule, asker, asked.now), asked.trust_under(rule)};
    if (!applies_in_isolation(rule, asked.target.cut_off()))
      because.failed.push_back(wrong_isolation(asked.target.cut_off()));
    because.holds = because.failed.empty();
    if (because.holds && decision.verdict != Verdict::forbid) {
      const Timestamp of_itself = outlook(policy, rule, asker, asked.now).until;
      decide_allow(decision, rule, std::min({end, of_itself, later(asked.now, rule.lease)}));
    }
    decision.because.push_back(std::move(because));
  }
}

}  // namespace

std::set<std::string> segments_of(const World& world, const Device& device) {
  std::set<std::string> names;
  if (device.state != DeviceState::active) return names;
  for (const auto& [name, segment] : world.policy->segments)
    for (const Member& member : segment.members)
      if (member.kind == Member::Kind::tag ? device.tags.contains(member.name)
                                           : device.id.value == member.name)
        names.insert(name);
  return names;
}

Decision evaluate(const World& world, const Query& query, Timestamp now) {
  Decision decision;
  const KnownPrincipal principal = find_principal(world, query.principal, now);
  const Device* target = active_device(world, query.target);
  std::set<std::string> segments;
  if (target) {
    segments = segments_of(world, *target);
    decision.observed = observes(world, *target, segments);
  }
  if (principal.device) {
    decision.health = health_of(*world.policy, *principal.device);
    decision.trust = trust_of(*world.policy, std::nullopt, *principal.device, principal.session, now);
  }
  if (!principal.reason.empty() || !target || !target->is_target()) {
    decision.reason = !principal.reason.empty() ? principal.reason
                      : target                  ? "the target's gateway is isolated"
                                                : "unknown target";
    return decision;
  }

  const Asked asked{world, query, principal, *target, segments, now};
  const Timestamp session_end = principal.session ? principal.session->ends_at : kNever;
  const Timestamp first_forbid = apply_forbids(asked, decision);
  apply_allows(asked, std::min(session_end, first_forbid), decision);

  // What failed explains a denial; an allow is explained by what held.
  if (decision.verdict == Verdict::allow)
    std::erase_if(decision.because, [](const Because& because) { return !because.holds; });
  std::ranges::sort(decision.because, {}, &Because::rule);
  for (const Because& because : decision.because)
    if (because.rule == decision.rule) decision.trust = because.trust;
  return decision;
}

}  // namespace cordon::policy
