// What fails of an allow's conditions, in words.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "policy/condition_keys.h"
#include "policy/hours.h"
#include "policy/moments.h"
#include "policy/trust.h"

namespace cordon::policy {
namespace {

constexpr const char* kMissing = "missing";

std::string tenths(int value) {
  return fmt::format("{}.{}", value / 10, value % 10);
}

/// The fact as `describe` says it, or that there is none.
template <class Fact, class Describe>
std::string found(const std::optional<Fact>& fact, Describe describe) {
  return fact ? std::string(describe(*fact)) : kMissing;
}

std::string found_health(const Policy& policy, const Device& device) {
  return found(health_of(policy, device), tenths);
}

std::string found_checks(const std::set<std::string>& needed, const Device& device) {
  return found(device.checks, [&](const auto& passing) {
    std::vector<std::string> lacking;
    std::ranges::set_difference(needed, passing, std::back_inserter(lacking));
    return fmt::format("{} {}", fmt::join(lacking, ", "), lacking.size() == 1 ? "fails" : "fail");
  });
}

std::string found_attestation(const Device& device) {
  return found(device.attestation, [](Attestation has) { return to_string(has); });
}

std::string found_age(const Asker& asker, Timestamp now) {
  const auto at = asker.session ? asker.session->authenticated_at : std::nullopt;
  return found(at, [&](Timestamp login) {
    return login > now ? "a login in the future" : format_duration(age_of(login, now));
  });
}

std::string found_trust(const Question& question, Timestamp now) {
  const auto& [policy, conditions, asker] = question;
  return found(trust_of(policy, conditions.auth_age_max, *asker.device, asker.session, now),
               [](int percent) { return std::to_string(percent); });
}

std::string join_networks(const std::vector<Prefix>& networks) {
  std::vector<std::string> words;
  for (const Prefix& network : networks) words.push_back(network.to_string());
  return fmt::format("{}", fmt::join(words, " or "));
}

std::string needed(const Conditions& conditions, ConditionKey key) {
  switch (key) {
    case ConditionKey::assurance:
      return std::string(to_string(*conditions.assurance));
    case ConditionKey::auth_age_max:
      return format_duration(*conditions.auth_age_max);
    case ConditionKey::trust_min:
      return std::to_string(*conditions.trust_min);
    case ConditionKey::health_min:
      return tenths(*conditions.health_min);
    case ConditionKey::require:
      return fmt::format("{}", fmt::join(conditions.require, ", "));
    case ConditionKey::attestation:
      return std::string(to_string(*conditions.attestation));
    case ConditionKey::hours:
      return to_string(*conditions.hours);
    case ConditionKey::valid_from:
      return format_rfc3339(*conditions.valid_from);
    case ConditionKey::valid_until:
      return format_rfc3339(*conditions.valid_until);
    case ConditionKey::source_networks:
      return join_networks(conditions.source_networks);
    case ConditionKey::countries:
      return fmt::format("{}", fmt::join(conditions.countries, " or "));
  }
  return {};
}

std::string found(const Question& question, ConditionKey key, Timestamp now) {
  const auto& [policy, conditions, asker] = question;
  const Device& device = *asker.device;
  switch (key) {
    case ConditionKey::assurance:
      return found(asker.session ? asker.session->assurance : std::nullopt,
                   [](Assurance has) { return to_string(has); });
    case ConditionKey::auth_age_max:
      return found_age(asker, now);
    case ConditionKey::trust_min:
      return found_trust(question, now);
    case ConditionKey::health_min:
      return found_health(policy, device);
    case ConditionKey::require:
      return found_checks(conditions.require, device);
    case ConditionKey::attestation:
      return found_attestation(device);
    case ConditionKey::hours:
      return wall_time(*conditions.hours->zone, now);
    case ConditionKey::valid_from:
    case ConditionKey::valid_until:
      return format_rfc3339(now);
    case ConditionKey::source_networks:
      return found(device.source, [](const Address& source) { return source.to_string(); });
    case ConditionKey::countries:
      return found(device.country, [](const std::string& country) { return country; });
  }
  return {};
}

/// What of one class the device lacks: "ownership is personal, antivirus_updates fails".
std::string lacks(const Policy& policy, const DeviceClass& wanted, const Device& device) {
  std::vector<std::string> all;
  // Each part of the class as a class of its own.
  const auto check = [&](DeviceClass part, std::string_view name, const auto& describe) {
    if (in_class(policy, part, device) != Truth::yes) all.push_back(fmt::format("{} {}", name, describe()));
  };
  check({.ownership = wanted.ownership}, "ownership", [&] {
    return found(device.ownership, [](Ownership owner) { return fmt::format("is {}", to_string(owner)); });
  });
  check({.tags = wanted.tags}, "tags", [&] {
    return device.tags.empty() ? std::string("are none")
                               : fmt::format("are {}", fmt::join(device.tags, ", "));
  });
  check({.health_min = wanted.health_min}, "health", [&] {
    const auto health = health_of(policy, device);
    return health ? fmt::format("is {}", tenths(*health)) : std::string(kMissing);
  });
  check({.require = wanted.require}, "checks:", [&] { return found_checks(wanted.require, device); });
  check({.attestation = wanted.attestation}, "attestation", [&] {
    return found(device.attestation, [](Attestation has) { return fmt::format("is {}", to_string(has)); });
  });
  return fmt::format("{}", fmt::join(all, ", "));
}

FailedCondition failed_classes(const Policy& policy, const Subject& from, const Device& device) {
  std::vector<std::string> each;
  for (const std::string& name : from.device_classes)
    if (const auto known = policy.device_classes.find(name); known != policy.device_classes.end())
      each.push_back(fmt::format("not {}: {}", name, lacks(policy, known->second, device)));
  return {.condition = "devices",
          .needed = fmt::format("{}", fmt::join(from.device_classes, " or ")),
          .found = fmt::format("{}", fmt::join(each, "; "))};
}

}  // namespace

std::vector<FailedCondition> failed(const Policy& policy, const Rule& rule, const Asker& asker,
                                    Timestamp now) {
  std::vector<FailedCondition> all;
  const Truth classes = in_classes(policy, rule.from, *asker.device);
  if (classes != Truth::yes) all.push_back(failed_classes(policy, rule.from, *asker.device));
  const Question question{policy, rule.when, asker};
  for (const ConditionKey key : kKeys) {
    if (!given(rule.when, key)) continue;
    const Truth truth = truth_of(question, key, now);
    if (truth == Truth::no || truth == Truth::missing)
      all.push_back({.condition = std::string(to_string(key)),
                     .needed = needed(rule.when, key),
                     .found = found(question, key, now)});
  }
  return all;
}

}  // namespace cordon::policy
