#include "policy/evaluate.h"

#include <algorithm>

#include "policy/coverage.h"

namespace cordon::policy {
namespace {

/// Who asks, looked up; the reason when the answer is `deny` before any rule is read (P3).
struct Principal {
  const Session* session = nullptr;  ///< null: the device acts for itself
  const Device* device = nullptr;
  const User* user = nullptr;
  std::string reason;
};

const Device* active_device(const World& world, const DeviceId& id) {
  const auto it = world.devices.find(id);
  return it != world.devices.end() && it->second.state == DeviceState::active ? &it->second : nullptr;
}

Principal find_principal(const World& world, const PrincipalRef& who, Timestamp now) {
  Principal principal;
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
  if (!principal.device) return {.reason = "unknown principal"};
  if (principal.user && principal.user->disabled) principal.reason = "disabled user";
  if (principal.session && now >= principal.session->ends_at) principal.reason = "session ended";
  if (principal.device->isolated) principal.reason = "isolated";
  return principal;
}

/// POLICY.md, Keys: a session is in the group if its user is listed or it carries one of the claims.
bool in_group(const Principal& principal, const Group& group) {
  if (group.users.contains(principal.user->name)) return true;
  return std::ranges::any_of(principal.session->claims,
                             [&](const auto& c) { return group.claims.contains(c); });
}

/// P2: users and groups select sessions, segments and tags select devices acting for themselves.
bool selects(const World& world, const Subject& from, const Principal& principal) {
  if (from.for_people() != (principal.session != nullptr)) return false;
  if (principal.session) {
    if (from.users.contains(principal.user->name)) return true;
    return std::ranges::any_of(from.groups, [&](const std::string& name) {
      const auto group = world.policy->groups.find(name);
      return group != world.policy->groups.end() && in_group(principal, group->second);
    });
  }
  const auto segments = segments_of(world, *principal.device);
  return std::ranges::any_of(from.segments, [&](const auto& s) { return segments.contains(s); }) ||
         std::ranges::any_of(from.tags, [&](const auto& t) { return principal.device->tags.contains(t); });
}

/// P8, P9: one of the rule's destinations is a segment of the target and takes in the protocol and port.
bool reaches(const World& world, const Rule& rule, const std::set<std::string>& target_segments,
             const Query& query) {
  return std::ranges::any_of(rule.to, [&](const Destination& to) {
    return target_segments.contains(to.segment) &&
           std::ranges::any_of(accesses_of(*world.policy, to), [&](const Access& access) {
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

/// P7: the earliest of session end and the lease from now on.
Timestamp deadline_of(const Rule& rule, const Principal& principal, Timestamp now) {
  const Timestamp session_end = principal.session ? principal.session->ends_at : kNever;
  return std::min(session_end, now + rule.lease);
}

/// P9: the target is in at least one segment and all it is in observe. Isolation is never only observed.
bool observes(const World& world, const Device& target, const std::set<std::string>& segments) {
  return !target.isolated && !segments.empty() && std::ranges::all_of(segments, [&](const std::string& name) {
    return world.policy->segments.at(name).mode == Mode::observe;
  });
}

/// P1, P7: any forbid wins (the lowest name is told); of allows the latest deadline, then the lowest name.
void decide(Decision& decision, const Rule& rule, Timestamp deadline) {
  if (rule.effect == Effect::forbid) {
    if (decision.verdict == Verdict::forbid && decision.rule <= rule.name) return;
    decision.verdict = Verdict::forbid;
    decision.rule = rule.name;
    decision.deadline = kNever;
    decision.lease = Seconds(0);
    decision.responder = false;
    return;
  }
  if (decision.verdict == Verdict::forbid) return;
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
  const Principal principal = find_principal(world, query.principal, now);
  const Device* target = active_device(world, query.target);
  std::set<std::string> segments;
  if (target) {
    segments = segments_of(world, *target);
    decision.observed = observes(world, *target, segments);
  }
  if (!principal.reason.empty() || !target) {
    decision.reason = !principal.reason.empty() ? principal.reason : "unknown target";
    return decision;
  }
  for (const Rule& rule : world.policy->rules) {
    if (!selects(world, rule.from, principal) || !reaches(world, rule, segments, query)) continue;
    if (applies_in_isolation(rule, target->isolated)) {
      decide(decision, rule, deadline_of(rule, principal, now));
      decision.because.push_back({.rule = rule.name, .holds = true, .failed = {}});
    } else if (rule.effect == Effect::allow) {
      decision.because.push_back(
          {.rule = rule.name, .holds = false, .failed = {wrong_isolation(target->isolated)}});
    }
  }
  std::ranges::sort(decision.because, {}, &Because::rule);
  return decision;
}

}  // namespace cordon::policy
