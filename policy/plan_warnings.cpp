#include "policy/plan_warnings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "policy/coverage.h"
#include "policy/plan_absent.h"
#include "policy/plan_later.h"
#include "policy/plan_loosens.h"
#include "policy/plan_words.h"
#include "policy/recorded_askers.h"

namespace cordon::policy {
namespace {

using Kind = PlanWarning::Kind;
using Warnings = std::vector<PlanWarning>;
constexpr std::size_t kMostWarningLines = 50;

void add_line(PlanWarning& warning, std::string line) {
  if (warning.lines.size() < kMostWarningLines) warning.lines.push_back(std::move(line));
}

bool is_author(const User& user, const std::string& author) {
  return !author.empty() && (user.id.value == author || user.name == author);
}

bool reaches_something(const PlanContext& c, const PlanGroups::Principals& from, bool after) {
  return std::ranges::any_of(c.groups.target_groups(), [&](const PlanGroups::Targets& to) {
    return !(after ? c.groups.reach_after(from, to) : c.groups.reach_before(from, to)).allows_nothing();
  });
}

bool loses_host(const PlanContext& c, const PlanGroups::Principals& from) {
  const std::uint32_t* host = c.groups.group_of_target(c.question.controller_host);
  if (host == nullptr) return false;
  const auto& to = c.groups.target_groups()[*host];
  const auto lost = ReachMap::compare(c.groups.reach_before(from, to), c.groups.reach_after(from, to));
  return std::ranges::any_of(lost, [](const auto& d) { return is_allow(d.before); });
}

std::string in_words(const PlanWho& who) {
  return fmt::format("{} on {}", who.asker.user->name, who.asker.device->id.value);
}

/// I9: who applies must still be able to mend it.
void warn_author(const PlanContext& c, Warnings& out) {
  for (const PlanWho& who : c.groups.principals()) {
    if (who.asker.user == nullptr || !is_author(*who.asker.user, c.question.author)) continue;
    const auto& from = c.groups.principal_groups()[who.group];
    if (loses_host(c, from))
      out.push_back(
          {.kind = Kind::locks_out_author,
           .text = fmt::format("this locks out its author: {} could no longer reach the controller's "
                               "host {} as now",
                               in_words(who), c.question.controller_host.value),
           .lines = {}});
    else if (reaches_something(c, from, false) && !reaches_something(c, from, true))
      out.push_back(
          {.kind = Kind::locks_out_author,
           .text = fmt::format("this locks out its author: {} would reach nothing any more", in_words(who)),
           .lines = {}});
  }
}

/// The controller's own root and most tokens are no person: then anybody who loses its host may be the
/// author.
void warn_unknown_author(const PlanContext& c, Warnings& out) {
  if (!c.question.author.empty()) return;
  PlanWarning warning{.kind = Kind::locks_out_author, .text = "", .lines = {}};
  std::size_t count = 0;
  for (const PlanWho& who : c.groups.principals()) {
    if (who.asker.user == nullptr || !loses_host(c, c.groups.principal_groups()[who.group])) continue;
    ++count;
    add_line(warning, in_words(who));
  }
  if (count == 0) return;
  warning.text = fmt::format(
      "this may lock out its author, who isn't named: {} could no longer reach the "
      "controller's host {} as now",
      counted(count, "login"), c.question.controller_host.value);
  out.push_back(std::move(warning));
}

/// How many of all enabled users (or active devices) each rule selects, whatever its conditions.
struct Crowds {
  std::vector<std::size_t> users, devices;  ///< by rule
  std::size_t all_users = 0, all_devices = 0;
};

Crowds crowds_of(const PlanContext& c, const PlanSide& side) {
  Crowds out;
  out.users.resize(side.policy().rules.size());
  out.devices.resize(side.policy().rules.size());
  std::map<SubjectId, std::vector<const Session*>> sessions;
  for (const auto& [id, session] : c.world.sessions) sessions[session.user].push_back(&session);
  const Session none;
  for (const auto& [id, user] : c.world.users) {
    if (user.disabled) continue;
    ++out.all_users;
    std::vector<const Session*> theirs = sessions[id];
    if (theirs.empty()) theirs.push_back(&none);
    std::set<std::uint32_t> rules;
    for (const Session* session : theirs)
      for (const std::uint32_t rule : side.rules_that_select({.session = session, .user = &user}))
        rules.insert(rule);
    for (const std::uint32_t rule : rules) ++out.users[rule];
  }
  for (const auto& [id, device] : c.world.devices) {
    if (!device.is_node()) continue;
    ++out.all_devices;
    for (const std::uint32_t rule : side.rules_that_select({.device = &device})) ++out.devices[rule];
  }
  return out;
}

/// What a policy opens: accesses to everybody, and every port of segments.
struct Openings {
  std::vector<Offering> to_users, to_devices, every_port;
};

Openings openings_of(const PlanSide& side, const Crowds& crowds) {
  Openings out;
  for (std::uint32_t i = 0; i < side.policy().rules.size(); ++i) {
    const Rule& rule = side.policy().rules[i];
    if (rule.effect != Effect::allow || rule.responders) continue;
    for (const Offering& offering : side.offerings(i)) {
      if (crowds.all_users > 1 && crowds.users[i] == crowds.all_users) out.to_users.push_back(offering);
      if (crowds.all_devices > 1 && crowds.devices[i] == crowds.all_devices)
        out.to_devices.push_back(offering);
      const Access& access = offering.access;
      if (!access.protocol || ((access.protocol == kTcp || access.protocol == kUdp) && access.ports.all()))
        out.every_port.push_back(offering);
    }
  }
  return out;
}

/// "settlement/ledger", "settlement tcp/22"
std::string in_words(const Offering& offering) {
  return offering.service.empty() ? fmt::format("{} {}", offering.segment, to_string(offering.access))
                                  : fmt::format("{}/{}", offering.segment, offering.service);
}

/// What of `are` no offering of `were` takes in, by segment and rule; of a segment that had none, all of it.
std::map<std::pair<std::string, const Rule*>, std::vector<std::string>> newly_open(
    const std::vector<Offering>& were, const std::vector<Offering>& are) {
  std::map<std::pair<std::string, const Rule*>, std::vector<std::string>> out;
  for (const Offering& offering : are) {
    bool some = false, all = false;
    for (const Offering& before : were) {
      if (before.segment != offering.segment) continue;
      some = true;
      all = all || covers(before.access, offering.access);
    }
    if (all) continue;
    auto& words = out[{offering.segment, offering.rule}];
    const std::string word = some ? in_words(offering) : offering.segment;
    if (std::ranges::find(words, word) == words.end()) words.push_back(word);
  }
  return out;
}

void warn_openings(const PlanContext& c, Warnings& out) {
  const Crowds now = crowds_of(c, c.after);
  const Openings before = openings_of(c.before, crowds_of(c, c.before)), after = openings_of(c.after, now);
  const auto add = [&](Kind kind, const auto& were, const auto& are, const std::string& what) {
    for (const auto& [place, words] : newly_open(were, are)) {
      const auto& [segment, rule] = place;
      const bool narrowed = !rule->when.empty() || !rule->from.device_classes.empty();
      out.push_back({.kind = kind,
                     .text = fmt::format("allow \"{}\" opens {}{}", rule->name,
                                         kind == Kind::opens_every_port
                                             ? fmt::format("{} of {}", what, segment)
                                             : fmt::format("{}{}", fmt::join(words, ", "), what),
                                         narrowed ? " (where its conditions hold)" : ""),
                     .lines = {}});
    }
  };
  add(Kind::opens_to_everyone, before.to_users, after.to_users,
      fmt::format(" to every user ({} of {})", now.all_users, now.all_users));
  add(Kind::opens_to_everyone, before.to_devices, after.to_devices,
      fmt::format(" to every machine ({} of {})", now.all_devices, now.all_devices));
  add(Kind::opens_every_port, before.every_port, after.every_port, "every port");
}

bool somebody_reaches(const PlanContext& c, const std::string& segment, const std::vector<Access>& accesses) {
  const std::uint32_t position = c.after.selectors().position_of(segment);
  for (const auto& from : c.groups.principal_groups()) {
    const bool speaks = std::ranges::any_of(from.after, [&](std::uint32_t rule) {
      return std::ranges::any_of(c.after.offerings(rule), [&](const Offering& o) {
        return o.segment == segment && o.rule->effect == Effect::allow;
      });
    });
    if (!speaks) continue;
    for (const auto& to : c.groups.target_groups()) {
      if (!std::ranges::binary_search(to.after, position)) continue;
      const ReachMap reach = c.groups.reach_after(from, to);
      if (std::ranges::any_of(accesses, [&](const Access& access) { return reach.allows_some(access); }))
        return true;
    }
  }
  return false;
}

void warn_unreached(const PlanContext& c, const Plan& plan, Warnings& out) {
  std::set<std::pair<std::string, std::string>> lost;
  for (const PlanEntry& entry : plan.entries)
    for (const AccessChange& change : entry.changes)
      if (!change.gained && !change.service.empty()) lost.emplace(change.segment, change.service);
  for (const auto& [name, service] : lost) {
    const auto segment = c.after.policy().segments.find(name);
    if (segment == c.after.policy().segments.end()) continue;
    const auto still = segment->second.services.find(service);
    if (still == segment->second.services.end() || somebody_reaches(c, name, still->second)) continue;
    out.push_back({.kind = Kind::nobody_reaches,
                   .text = fmt::format("nobody who is here now could reach {}/{} any more", name, service),
                   .lines = {}});
  }
}

bool has_allow(const PlanSide& side, const std::string& segment) {
  return std::ranges::any_of(side.policy().rules, [&](const Rule& rule) {
    return rule.effect == Effect::allow &&
           std::ranges::any_of(rule.to, [&](const Destination& to) { return to.segment == segment; });
  });
}

void warn_segments_without_rules(const PlanContext& c, Warnings& out) {
  for (const auto& [name, segment] : c.after.policy().segments) {
    if (has_allow(c.after, name)) continue;
    if (c.before.policy().segments.contains(name) && !has_allow(c.before, name)) continue;
    out.push_back(
        {.kind = Kind::no_rules,
         .text = fmt::format("no rule allows anything to segment {}: it is closed to everybody", name),
         .lines = {}});
  }
}

/// The segments for whose sake a device observed until now.
std::set<std::string> stops_observing(const PlanContext& c, const PlanGroups::Targets& to) {
  if (!to.observed_before || to.observed_after) return {};
  return c.before.names_of(to.before);
}

void warn_enforcing(const PlanContext& c, Warnings& out) {
  struct Segment {
    std::size_t devices = 0, kinds = 0, flows = 0;
    std::vector<const ObservedFlow*> dropped;
  };
  std::map<std::string, Segment> segments;
  for (const auto& to : c.groups.target_groups())
    for (const std::string& name : stops_observing(c, to)) segments[name].devices += to.members.size();
  if (segments.empty()) return;
  const auto dropped = dropped_when_enforced(c);
  for (const ObservedFlow* flow : dropped)
    for (const std::string& name :
         stops_observing(c, c.groups.target_groups()[*c.groups.group_of_target(flow->target)])) {
      segments[name].dropped.push_back(flow);
      segments[name].flows += flow->count;
    }
  for (auto& [name, segment] : segments) {
    PlanWarning warning{.kind = Kind::starts_enforcing, .text = "", .lines = {}};
    const std::string found = segment.dropped.empty()
                                  ? "no flow that was recorded would be dropped"
                                  : fmt::format("{} recorded would be dropped",
                                                counted(segment.flows, "flow that was", "flows that were"));
    warning.text = fmt::format("segment {} starts to enforce on {}: {}", name,
                               counted(segment.devices, "device"), found);
    std::ranges::stable_sort(segment.dropped, std::ranges::greater{}, &ObservedFlow::count);
    for (const ObservedFlow* flow : segment.dropped) add_line(warning, in_words(c.world, *flow));
    if (segment.dropped.size() > warning.lines.size())
      warning.lines.push_back(fmt::format(
          "and {} more",
          counted(segment.dropped.size() - warning.lines.size(), "kind of flow", "kinds of flow")));
    out.push_back(std::move(warning));
  }
}

}  // namespace

std::vector<const ObservedFlow*> dropped_when_enforced(const PlanContext& c) {
  RecordedAskers askers(c.world, c.now);
  std::map<const Asker*, Positions> rules;
  std::vector<const ObservedFlow*> out;
  for (const ObservedFlow& flow : c.question.observed) {
    const std::uint32_t* number = c.groups.group_of_target(flow.target);
    if (number == nullptr) continue;
    const auto& to = c.groups.target_groups()[*number];
    if (!to.observed_before || to.observed_after) continue;
    const Asker& asker = askers.find(flow);
    if (asker.device == nullptr) continue;  // gone: it loses nothing
    const auto [it, fresh] = rules.try_emplace(&asker);
    if (fresh) it->second = c.after.rules_that_hold(asker);
    if (!c.after.reach(it->second, to.after, to.isolated).allows(flow.protocol, flow.port))
      out.push_back(&flow);
  }
  return out;
}

std::vector<PlanWarning> plan_warnings(const PlanContext& context, const Plan& plan) {
  Warnings out;
  warn_author(context, out);
  warn_unknown_author(context, out);
  warn_openings(context, out);
  warn_unreached(context, plan, out);
  warn_segments_without_rules(context, out);
  warn_enforcing(context, out);
  for (PlanWarning& warning : loosening_warnings(context)) out.push_back(std::move(warning));
  for (PlanWarning& warning : later_changes(context)) out.push_back(std::move(warning));
  if (auto absent = absent_people(context)) out.push_back(std::move(*absent));
  return out;
}

}  // namespace cordon::policy
