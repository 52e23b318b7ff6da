#include "policy/plan_absent.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "policy/plan_words.h"

namespace cordon::policy {
namespace {

constexpr std::size_t kMostAbsentLines = 50, kMostNames = 3, kMostNamed = 1000;

Positions rules_for(const PlanSide& side, const User& user) {
  const Session none;
  Positions rules = side.rules_that_select({.session = &none, .user = &user});
  std::erase_if(rules, [&](std::uint32_t i) {
    const Rule& rule = side.policy().rules[i];
    const bool narrowed = !rule.when.empty() || rule.unless || !rule.from.device_classes.empty();
    return rule.effect == Effect::forbid && narrowed;
  });
  return rules;
}

std::set<std::string> segments_of(const PlanSide& side, const Positions& rules) {
  std::set<std::string> out;
  for (const std::uint32_t i : rules)
    for (const Destination& to : side.policy().rules[i].to) out.insert(to.segment);
  return out;
}

ReachMap reach(const PlanSide& side, const Positions& rules, const std::string& segment) {
  if (!side.policy().segments.contains(segment)) return {};
  return side.reach(rules, {side.selectors().position_of(segment)}, false);
}

/// "gains settlement/ledger" and "loses lab tcp/22", once each.
std::set<std::string> changes_for(const PlanContext& c, const User& user) {
  const Positions before = rules_for(c.before, user), after = rules_for(c.after, user);
  std::set<std::string> segments = segments_of(c.before, before);
  segments.merge(segments_of(c.after, after));
  std::set<std::string> out;
  for (const std::string& segment : segments)
    for (const auto& difference :
         ReachMap::compare(reach(c.before, before, segment), reach(c.after, after, segment))) {
      const bool gained = is_allow(difference.after);
      const Offering& by = gained ? *difference.after : *difference.before;
      out.insert(fmt::format("{} {}{}{} {}", gained ? "gains" : "loses", segment,
                             by.service.empty() ? "" : "/", by.service, to_string(difference.access)));
    }
  return out;
}

}  // namespace

std::optional<PlanWarning> absent_people(const PlanContext& c) {
  std::set<SubjectId> here;
  for (const PlanWho& who : c.groups.principals())
    if (who.asker.user != nullptr) here.insert(who.asker.user->id);
  struct People {
    std::vector<std::string> names;
    std::size_t count = 0;
  };
  std::map<std::pair<Positions, Positions>, std::set<std::string>> known;  // many people share their rules
  std::map<std::set<std::string>, People> by_changes;
  std::size_t count = 0;
  for (const auto& [id, user] : c.world.users) {
    if (user.disabled || user.name.empty() || here.contains(id)) continue;
    const auto [it, fresh] = known.try_emplace({rules_for(c.before, user), rules_for(c.after, user)});
    if (fresh) it->second = changes_for(c, user);
    if (it->second.empty()) continue;
    ++count;
    People& people = by_changes[it->second];
    ++people.count;
    if (people.names.size() < kMostNamed) people.names.push_back(user.name);
  }
  if (count == 0) return std::nullopt;
  PlanWarning warning{
      .kind = PlanWarning::Kind::not_signed_in,
      .text = fmt::format("the rules change for {} not signed in now, whom this plan doesn't count",
                          counted(count, "person who is", "people who are")),
      .lines = {}};
  for (const auto& [changes, people] : by_changes) {
    if (warning.lines.size() == kMostAbsentLines) break;
    warning.lines.push_back(fmt::format("{}: {}", listed(people.names, people.count, kMostNames),
                                        listed({changes.begin(), changes.end()}, changes.size(), 6)));
  }
  if (by_changes.size() > warning.lines.size())
    warning.lines.push_back(fmt::format("and {}", counted(by_changes.size() - warning.lines.size(),
                                                          "kind of change more", "kinds of change more")));
  return warning;
}

}  // namespace cordon::policy
