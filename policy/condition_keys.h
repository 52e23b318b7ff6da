#pragma once
// The conditions of `when` and `unless` one by one: what is so of each, and when that may change.

#include <array>
#include <string>
#include <string_view>

#include "policy/conditions.h"

namespace cordon::policy {

/// In the order of the language's page.
enum class ConditionKey {
  assurance,
  auth_age_max,
  trust_min,
  health_min,
  require,
  attestation,
  hours,
  valid_from,
  valid_until,
  source_networks,
  countries,
};
inline constexpr std::array kKeys{
    ConditionKey::assurance,       ConditionKey::auth_age_max, ConditionKey::trust_min,
    ConditionKey::health_min,      ConditionKey::require,      ConditionKey::attestation,
    ConditionKey::hours,           ConditionKey::valid_from,   ConditionKey::valid_until,
    ConditionKey::source_networks, ConditionKey::countries};
std::string_view to_string(ConditionKey key);  ///< as it is written: "auth_age_max"

/// `missing`: a fact that it needs is absent (P3). `ignored`: the policy's method leaves it out (P5).
enum class Truth { no, missing, ignored, yes };

/// Conditions put to somebody.
struct Question {
  const Policy& policy;
  const Conditions& conditions;
  const Asker& asker;
};

bool given(const Conditions& conditions, ConditionKey key);
/// The two below are for keys that are given.
Truth truth_of(const Question& question, ConditionKey key, Timestamp now);
/// The first moment after `now` at which truth_of() may say otherwise; kNever: it won't. `no` and `missing`
/// count as one.
Timestamp next_change(const Question& question, ConditionKey key, Timestamp now);

/// Is the device of one of the rule's classes (`from.devices`)? Time doesn't change it.
Truth in_classes(const Policy& policy, const Subject& from, const Device& device);
/// The same of one class.
Truth in_class(const Policy& policy, const DeviceClass& device_class, const Device& device);

}  // namespace cordon::policy
