#pragma once
// Health and trust (P4 to P6): integers, exact until one final rounding.

#include <optional>

#include "policy/model.h"

namespace cordon::policy {

/// Tenths, 0..10; none when the device has not reported.
std::optional<int> health_of(const Policy& policy, const Device& device);

/// Percent, 0..100, rounded half up; none where a fact is missing or nobody is logged in. `auth_age_max` is
/// the rule's: under it the identity score falls with the login's age.
std::optional<int> trust_of(const Policy& policy, std::optional<Seconds> auth_age_max, const Device& device,
                            const Session* session, Timestamp now);

/// The first moment after `now` at which trust is under `least`, or kNever. Trust is at least that now.
Timestamp trust_falls_under(const Policy& policy, int least, std::optional<Seconds> auth_age_max,
                            const Device& device, const Session& session, Timestamp now);

/// The first moment after `now` at which trust is `least` or more, or kNever. It is less or missing now.
Timestamp trust_rises_to(const Policy& policy, int least, std::optional<Seconds> auth_age_max,
                         const Device& device, const Session& session, Timestamp now);

}  // namespace cordon::policy
