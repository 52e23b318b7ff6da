#include "policy/plan_later.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "policy/plan_words.h"

namespace cordon::policy {
namespace {

constexpr std::size_t kMostLaterLines = 50;

auto fields(const Conditions& c) {
  return std::tie(c.assurance, c.auth_age_max, c.trust_min, c.health_min, c.require, c.attestation,
                  c.valid_from, c.valid_until, c.source_networks, c.countries);
}

bool same_later(const std::optional<Hours>& a, const std::optional<Hours>& b) {
  if (!a || !b) return !a && !b;
  return a->windows == b->windows && a->zone->name() == b->zone->name();
}

bool same_later(const Conditions& a, const Conditions& b) {
  return fields(a) == fields(b) && same_later(a.hours, b.hours);
}

bool same_later(const TrustSettings& a, const TrustSettings& b) {
  const auto parts = [](const TrustSettings& t) {
    return std::tie(t.method, t.health, t.weights.identity, t.weights.device, t.weights.behaviour, t.identity,
                    t.tpm_points, t.unattested_health_max);
  };
  return parts(a) == parts(b);
}

bool same_conditions(const Rule& a, const Rule& b) {
  if (a.effect != b.effect || a.unless.has_value() != b.unless.has_value()) return false;
  return same_later(a.when, b.when) && (!a.unless || same_later(*a.unless, *b.unless));
}

/// A rule of the new policy that may end, or begin, at another moment than the one of its name in the policy
/// in force.
struct ChangedRule {
  const Rule* before = nullptr;  ///< null: there is none
  bool changed = false;
};

/// By position in the new policy.
std::vector<ChangedRule> changed_rules(const PlanContext& c) {
  using Key = std::pair<Effect, std::string_view>;
  std::map<Key, const Rule*> known;
  for (const Rule& rule : c.before.policy().rules) known.emplace(Key(rule.effect, rule.name), &rule);
  const bool same_trust = same_later(c.before.policy().trust, c.after.policy().trust);
  std::vector<ChangedRule> out;
  for (const Rule& rule : c.after.policy().rules) {
    const auto it = known.find(Key(rule.effect, rule.name));
    const bool by_trust = !same_trust && (rule.when.trust_min || (rule.unless && rule.unless->trust_min));
    if (it == known.end())
      out.push_back({.before = nullptr, .changed = rule.effect == Effect::forbid});
    else
      out.push_back({.before = it->second, .changed = by_trust || !same_conditions(*it->second, rule)});
  }
  return out;
}

Timestamp session_end(const Asker& asker) {
  return asker.session ? asker.session->ends_at : kNever;
}

/// When the asker loses what an allow grants now.
Timestamp end_of(const Outlook& outlook, const Asker& asker) {
  return std::min(outlook.until, session_end(asker));
}

/// When the asker loses something by the rule, if that is earlier than until now: the moment, and the one
/// until now.
std::optional<std::pair<Timestamp, Timestamp>> earlier(const PlanContext& c, const Rule& rule,
                                                       const Rule* known, const Asker& asker) {
  const Outlook after = outlook(c.after.policy(), rule, asker, c.now);
  const auto selected = [&] {
    return std::ranges::any_of(c.before.rules_that_select(asker),
                               [&](std::uint32_t i) { return &c.before.policy().rules[i] == known; });
  };
  const Outlook before =
      known != nullptr && selected() ? outlook(c.before.policy(), *known, asker, c.now) : Outlook{};
  if (rule.effect == Effect::allow) {
    if (!before.holds || !after.holds || end_of(after, asker) >= end_of(before, asker)) return {};
    return std::pair(end_of(after, asker), end_of(before, asker));
  }
  // A forbid that doesn't hold yet begins when its outlook ends.
  if (after.holds || before.holds || after.until >= session_end(asker) || after.until >= before.until)
    return {};
  return std::pair(after.until, before.until);
}

std::string line_of(const Asker& asker, Timestamp at, Timestamp instead_of) {
  const std::string who = in_words(PlanPrincipal{
      .person = asker.user ? asker.user->name : std::string(), .device = asker.device->id, .session = {}});
  if (instead_of == kNever) return fmt::format("{}: at {}", who, format_rfc3339(at));
  return fmt::format("{}: at {} instead of {}", who, format_rfc3339(at), format_rfc3339(instead_of));
}

}  // namespace

std::vector<PlanWarning> later_changes(const PlanContext& c) {
  const std::vector<ChangedRule> changed = changed_rules(c);
  std::vector<PlanWarning> out;
  if (std::ranges::none_of(changed, &ChangedRule::changed)) return out;
  struct Found {
    std::size_t count = 0;
    std::vector<std::string> lines;
  };
  std::map<std::uint32_t, Found> found;
  for (const PlanWho& who : c.groups.principals())
    for (const std::uint32_t i : c.after.rules_that_select(who.asker)) {
      if (!changed[i].changed) continue;
      const auto moment = earlier(c, c.after.policy().rules[i], changed[i].before, who.asker);
      if (!moment) continue;
      Found& of_rule = found[i];
      ++of_rule.count;
      if (of_rule.lines.size() < kMostLaterLines)
        of_rule.lines.push_back(line_of(who.asker, moment->first, moment->second));
    }
  for (auto& [i, of_rule] : found) {
    const Rule& rule = c.after.policy().rules[i];
    const std::string text =
        rule.effect == Effect::allow
            ? fmt::format("what allow \"{}\" grants would end earlier for {}", rule.name,
                          counted(of_rule.count, "who holds it", "who hold it"))
            : fmt::format("forbid \"{}\" would begin later for {}", rule.name,
                          counted(of_rule.count, "whom it doesn't touch now", "whom it doesn't touch now"));
    out.push_back({.kind = PlanWarning::Kind::ends_earlier, .text = text, .lines = std::move(of_rule.lines)});
  }
  return out;
}

}  // namespace cordon::policy
