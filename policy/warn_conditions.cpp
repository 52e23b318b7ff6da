#include <fmt/format.h>

#include <algorithm>

#include "policy/draft.h"
#include "policy/hours.h"
#include "policy/wording.h"

namespace cordon::policy {
namespace {

std::string named(const Rule& rule) {
  return fmt::format("{} {}", rule.effect == Effect::allow ? "allow" : "forbid", in_quotes(rule.name));
}

/// The trust of a device without fault under a fresh login without signals (P5).
int highest_trust(const TrustSettings& trust) {
  const int identity = *std::ranges::max_element(trust.identity);
  return (trust.weights.identity * identity + (trust.weights.device + trust.weights.behaviour) * 100 + 50) /
         100;
}

/// Hours that don't come between the first and the last day. A start is never told too late, so there is
/// none.
bool no_hours_within_validity(const Conditions& conditions) {
  if (!conditions.hours || !conditions.valid_from || !conditions.valid_until) return false;
  const Outlook first = outlook_of(*conditions.hours, *conditions.valid_from);
  return !first.holds && first.until >= *conditions.valid_until;
}

/// Why the conditions hold for nobody; empty when they may.
std::string why_never(const Policy& policy, const Conditions& conditions) {
  const int highest = highest_trust(policy.trust);
  if (policy.trust.method != TrustMethod::rules && conditions.trust_min.value_or(0) > highest)
    return fmt::format("trust_min is {}, and trust never exceeds {}", *conditions.trust_min, highest);
  if (no_hours_within_validity(conditions)) return "its hours don't come between valid_from and valid_until";
  return {};
}

void warn_of_ignored(Reader& reader, const Policy& policy, const Rule& rule, const Conditions& conditions,
                     std::string_view when_or_unless) {
  const bool trust = policy.trust.method == TrustMethod::rules && conditions.trust_min;
  const bool require = policy.trust.method == TrustMethod::score && !conditions.require.empty();
  if (!trust && !require) return;
  reader.warning(
      rule.place,
      fmt::format("the trust method {} ignores {} in the {} of {}", trust ? "\"rules\"" : "\"score\"",
                  trust ? "trust_min" : "require", in_quotes(when_or_unless), named(rule)),
      {when_or_unless == "when" ? "it counts as met" : "it counts as unmet, so the forbid always holds"});
}

}  // namespace

void warn_of_conditions(Reader& reader, const Policy& policy, const Rule& rule) {
  warn_of_ignored(reader, policy, rule, rule.when, "when");
  if (const std::string why = why_never(policy, rule.when); !why.empty())
    reader.warning(rule.place, fmt::format("rule {} can never hold: {}", in_quotes(rule.name), why));
  if (!rule.unless) return;
  warn_of_ignored(reader, policy, rule, *rule.unless, "unless");
  if (const std::string why = why_never(policy, *rule.unless); !why.empty())
    reader.warning(rule.place, fmt::format("the \"unless\" of {} can never hold: {}", named(rule), why));
}

void warn_of_settings(Reader& reader, const Policy& policy, const DefinitionPlaces& places) {
  if (const auto trust = places.tables.find("trust");
      trust != places.tables.end() && !std::ranges::is_sorted(policy.trust.identity))
    reader.warning(trust->second, "a stronger login is worth less than a weaker one",
                   {"\"identity\" usually rises from aal1 to aal3"});
  if (const auto sessions = places.tables.find("sessions");
      sessions != places.tables.end() && policy.sessions.idle > policy.sessions.reauthenticate &&
      policy.sessions.idle != SessionSettings{}.idle)
    reader.warning(sessions->second, fmt::format("\"idle\" never counts: every session ends after {} anyway",
                                                 format_duration(policy.sessions.reauthenticate)));
  if (policy.trust.method != TrustMethod::score) return;
  for (const auto& [name, device_class] : policy.device_classes)
    if (!device_class.require.empty())
      reader.warning(
          device_class.place,
          fmt::format("the trust method \"score\" ignores require in device class {}", in_quotes(name)));
}

}  // namespace cordon::policy
