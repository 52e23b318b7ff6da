#include "policy/condition_keys.h"

#include <algorithm>

#include "policy/hours.h"
#include "policy/moments.h"
#include "policy/trust.h"

namespace cordon::policy {
namespace {

Truth truth(bool value) {
  return value ? Truth::yes : Truth::no;
}

/// Absent facts are missing; of the others `test` tells.
template <class Fact, class Test>
Truth of_fact(const std::optional<Fact>& fact, Test test) {
  return fact ? truth(test(*fact)) : Truth::missing;
}

Truth has_checks(const std::set<std::string>& checks, const Device& device) {
  return of_fact(device.checks, [&](const auto& passing) { return std::ranges::includes(passing, checks); });
}

Truth has_health(const Policy& policy, int least, const Device& device) {
  return of_fact(health_of(policy, device), [&](int tenths) { return tenths >= least; });
}

Truth is_attested(Attestation needed, const Device& device) {
  return of_fact(device.attestation, [&](Attestation has) { return has >= needed; });
}

Truth has_assurance(Assurance needed, const Asker& asker) {
  if (!asker.session) return Truth::missing;
  return of_fact(asker.session->assurance, [&](Assurance has) { return has >= needed; });
}

/// P5: met at equality. A login that is yet to come has no age.
Truth is_young(Seconds longest, const Asker& asker, Timestamp now) {
  if (!asker.session) return Truth::missing;
  return of_fact(asker.session->authenticated_at,
                 [&](Timestamp at) { return at <= now && age_of(at, now) <= longest; });
}

/// It begins with the login and ends with the first second past the longest age.
Timestamp age_changes(Seconds longest, const Asker& asker, Timestamp now) {
  if (!asker.session || !asker.session->authenticated_at) return kNever;
  const Timestamp begins = *asker.session->authenticated_at;
  const Timestamp ends = later(begins, longest + Seconds(1));
  if (now < begins) return begins;
  return now < ends ? ends : kNever;
}

Truth is_trusted(const Question& question, Timestamp now) {
  const auto& [policy, conditions, asker] = question;
  if (policy.trust.method == TrustMethod::rules) return Truth::ignored;
  return of_fact(trust_of(policy, conditions.auth_age_max, *asker.device, asker.session, now),
                 [&](int percent) { return percent >= *conditions.trust_min; });
}

Timestamp trust_changes(const Question& question, Timestamp now) {
  const auto& [policy, conditions, asker] = question;
  const Truth is = is_trusted(question, now);
  if (is == Truth::ignored || !asker.session) return kNever;
  const auto search = is == Truth::yes ? trust_falls_under : trust_rises_to;
  return search(policy, *conditions.trust_min, conditions.auth_age_max, *asker.device, *asker.session, now);
}

/// Kleene's and: one `no` decides, else one `missing`.
Truth both_truths(Truth a, Truth b) {
  return std::min(a, b);
}

}  // namespace

std::string_view to_string(ConditionKey key) {
  constexpr std::array<std::string_view, kKeys.size()> kNames{
      "assurance", "auth_age_max", "trust_min",   "health_min",      "require",  "attestation",
      "hours",     "valid_from",   "valid_until", "source_networks", "countries"};
  return kNames[static_cast<std::size_t>(key)];
}

bool given(const Conditions& conditions, ConditionKey key) {
  switch (key) {
    case ConditionKey::assurance:
      return conditions.assurance.has_value();
    case ConditionKey::auth_age_max:
      return conditions.auth_age_max.has_value();
    case ConditionKey::trust_min:
      return conditions.trust_min.has_value();
    case ConditionKey::health_min:
      return conditions.health_min.has_value();
    case ConditionKey::require:
      return !conditions.require.empty();
    case ConditionKey::attestation:
      return conditions.attestation.has_value();
    case ConditionKey::hours:
      return conditions.hours.has_value();
    case ConditionKey::valid_from:
      return conditions.valid_from.has_value();
    case ConditionKey::valid_until:
      return conditions.valid_until.has_value();
    case ConditionKey::source_networks:
      return !conditions.source_networks.empty();
    case ConditionKey::countries:
      return !conditions.countries.empty();
  }
  return false;
}

Truth truth_of(const Question& question, ConditionKey key, Timestamp now) {
  const auto& [policy, conditions, asker] = question;
  const Device& device = *asker.device;
  switch (key) {
    case ConditionKey::assurance:
      return has_assurance(*conditions.assurance, asker);
    case ConditionKey::auth_age_max:
      return is_young(*conditions.auth_age_max, asker, now);
    case ConditionKey::trust_min:
      return is_trusted(question, now);
    case ConditionKey::health_min:
      return has_health(policy, *conditions.health_min, device);
    case ConditionKey::require:
      return policy.trust.method == TrustMethod::score ? Truth::ignored
                                                       : has_checks(conditions.require, device);
    case ConditionKey::attestation:
      return is_attested(*conditions.attestation, device);
    case ConditionKey::hours:
      return truth(in_hours(*conditions.hours, now));
    case ConditionKey::valid_from:
      return truth(now >= *conditions.valid_from);
    case ConditionKey::valid_until:
      return truth(now < *conditions.valid_until);
    case ConditionKey::source_networks:
      return of_fact(device.source, [&](const Address& source) {
        return std::ranges::any_of(conditions.source_networks,
                                   [&](const Prefix& network) { return network.contains(source); });
      });
    case ConditionKey::countries:
      return of_fact(device.country,
                     [&](const std::string& country) { return conditions.countries.contains(country); });
  }
  return Truth::missing;
}

Timestamp next_change(const Question& question, ConditionKey key, Timestamp now) {
  const auto& conditions = question.conditions;
  const auto if_ahead = [&](Timestamp moment) { return now < moment ? moment : kNever; };
  switch (key) {
    case ConditionKey::auth_age_max:
      return age_changes(*conditions.auth_age_max, question.asker, now);
    case ConditionKey::trust_min:
      return trust_changes(question, now);
    case ConditionKey::hours:
      return outlook_of(*conditions.hours, now).until;
    case ConditionKey::valid_from:
      return if_ahead(*conditions.valid_from);
    case ConditionKey::valid_until:
      return if_ahead(*conditions.valid_until);
    default:
      return kNever;  // facts of the device and of the login, which time alone doesn't change
  }
}

Truth in_class(const Policy& policy, const DeviceClass& needed, const Device& device) {
  Truth all = Truth::yes;
  if (!needed.ownership.empty())
    all = both_truths(
        all, of_fact(device.ownership, [&](Ownership owner) { return needed.ownership.contains(owner); }));
  if (!needed.tags.empty())
    all = both_truths(all, truth(std::ranges::any_of(
                               needed.tags, [&](const auto& tag) { return device.tags.contains(tag); })));
  if (needed.health_min) all = both_truths(all, has_health(policy, *needed.health_min, device));
  if (!needed.require.empty() && policy.trust.method != TrustMethod::score)  // P5: else it counts as met
    all = both_truths(all, has_checks(needed.require, device));
  if (needed.attestation) all = both_truths(all, is_attested(*needed.attestation, device));
  return all;
}

Truth in_classes(const Policy& policy, const Subject& from, const Device& device) {
  if (from.device_classes.empty()) return Truth::yes;
  Truth any = Truth::no;  // Kleene's or: one `yes` decides, else one `missing`
  for (const std::string& name : from.device_classes)
    if (const auto found = policy.device_classes.find(name); found != policy.device_classes.end())
      any = std::max(any, in_class(policy, found->second, device));
  return any;
}

}  // namespace cordon::policy
