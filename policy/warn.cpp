#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "policy/coverage.h"
#include "policy/draft.h"
#include "policy/wording.h"

namespace cordon::policy {
namespace {

/// Comparisons that warnings may cost altogether; a policy past it goes without some, and that is all.
constexpr std::size_t kBudget = 2'000'000;

class Warner {
 public:
  Warner(Reader& reader, const Policy& policy) : reader_(reader), policy_(policy) {
    for (const Rule& rule : policy.rules) {
      const bool always = rule.when.empty() && !rule.unless;
      for (const Destination& to : rule.to) {
        if (rule.effect == Effect::allow) allowed_[to.segment].push_back(&to);
        if (rule.effect == Effect::forbid && always) forbids_[to.segment].insert(&rule);
      }
    }
  }

  void groups() {
    std::set<std::string_view> used;
    for (const Rule& rule : policy_.rules) used.insert(rule.from.groups.begin(), rule.from.groups.end());
    for (const auto& [name, group] : policy_.groups)
      if (!used.contains(name))
        reader_.warning(group.place, fmt::format("no rule uses group {}", in_quotes(name)));
  }

  void device_classes() {
    std::set<std::string_view> used;
    for (const Rule& rule : policy_.rules)
      used.insert(rule.from.device_classes.begin(), rule.from.device_classes.end());
    for (const auto& [name, device_class] : policy_.device_classes)
      if (!used.contains(name))
        reader_.warning(device_class.place, fmt::format("no rule uses device class {}", in_quotes(name)));
  }

  /// The site's own checks: devices report them, and somebody should look.
  void checks(const std::map<std::string, Place>& places) {
    std::set<std::string_view> used;
    for (const auto& [name, weight] : policy_.trust.health)
      if (weight > 0) used.insert(name);
    for (const auto& [name, device_class] : policy_.device_classes)
      used.insert(device_class.require.begin(), device_class.require.end());
    for (const Rule& rule : policy_.rules) {
      used.insert(rule.when.require.begin(), rule.when.require.end());
      if (rule.unless) used.insert(rule.unless->require.begin(), rule.unless->require.end());
    }
    for (const auto& [name, place] : places)
      if (!used.contains(name))
        reader_.warning(place, fmt::format("check {} changes nothing", in_quotes(name)),
                        {"require it somewhere, or give it a weight in [trust.health]"});
  }

  void service(const std::string& segment, const std::string& name, const Place& place) {
    const auto& accesses = policy_.segments.at(segment).services.at(name);
    for (const Destination* to : allowed_[segment])
      if (reaches(*to, name, accesses)) return;
    reader_.warning(place, fmt::format("no allow reaches service {}", in_quotes(segment + "/" + name)));
  }

  void rule(const Rule& rule) {
    if (std::ranges::all_of(rule.to, [&](const Destination& to) { return is_empty(to); }))
      return reader_.warning(
          rule.place,
          fmt::format("rule {} can never hold: its destinations have no services", in_quotes(rule.name)));
    if (rule.effect != Effect::allow || rule.to.empty()) return;
    for (const Rule* forbid : forbids_[rule.to.front().segment])
      if (forbids_all_of(*forbid, rule))
        return reader_.warning(rule.place,
                               fmt::format("rule {} can never hold: forbid {} takes all of it back",
                                           in_quotes(rule.name), in_quotes(forbid->name)));
  }

 private:
  bool spend() { return budget_ > 0 && budget_-- > 0; }

  /// `segment/*` of a segment without services.
  bool is_empty(const Destination& to) const {
    return to.accesses.empty() && to.service.empty() && policy_.segments.at(to.segment).services.empty();
  }

  bool reaches(const Destination& to, const std::string& name, const std::vector<Access>& accesses) {
    if (to.accesses.empty()) return to.service.empty() || to.service == name;
    return std::ranges::any_of(to.accesses, [&](const Access& a) {
      return std::ranges::any_of(accesses, [&](const Access& b) { return !spend() || overlap(a, b); });
    });
  }

  bool forbids_all_of(const Rule& forbid, const Rule& allow) {
    if (!spend() || forbid.from.for_people() != allow.from.for_people()) return false;
    if (allow.responders && !forbid.responders)
      return false;  // P10: isolated targets know only responders' rules
    const auto within = [](const auto& inner, const auto& outer) {
      return std::ranges::includes(outer, inner);
    };
    if (!within(allow.from.users, forbid.from.users) || !within(allow.from.groups, forbid.from.groups) ||
        !within(allow.from.segments, forbid.from.segments) || !within(allow.from.tags, forbid.from.tags))
      return false;
    const auto& classes = forbid.from.device_classes;
    if (!classes.empty() &&
        (allow.from.device_classes.empty() || !within(allow.from.device_classes, classes)))
      return false;
    return std::ranges::all_of(allow.to, [&](const Destination& to) { return takes_back(forbid, to); });
  }

  bool takes_back(const Rule& forbid, const Destination& to) {
    return std::ranges::all_of(accesses_of(policy_, to), [&](const Access& inner) {
      return std::ranges::any_of(forbid.to, [&](const Destination& taken) {
        return spend() && taken.segment == to.segment &&
               std::ranges::any_of(accesses_of(policy_, taken),
                                   [&](const Access& outer) { return spend() && covers(outer, inner); });
      });
    });
  }

  Reader& reader_;
  const Policy& policy_;
  std::map<std::string, std::set<const Rule*>> forbids_;  ///< those that always hold, by segment
  std::map<std::string, std::vector<const Destination*>> allowed_;
  std::size_t budget_ = kBudget;
};

}  // namespace

void warn(Reader& reader, const Policy& policy, const DefinitionPlaces& places) {
  Warner warner(reader, policy);
  warner.groups();
  warner.device_classes();
  warner.checks(places.checks);
  warn_of_settings(reader, policy, places);
  for (const auto& [name, place] : places.services) warner.service(name.first, name.second, place);
  for (const Rule& rule : policy.rules) {
    warner.rule(rule);
    warn_of_conditions(reader, policy, rule);
  }
}

}  // namespace cordon::policy
