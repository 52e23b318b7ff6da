#pragma once
// Arithmetic on moments that stays in range, and the ages of logins.

#include "base/time.h"

namespace cordon::policy {

/// `t` and so much later; kNever rather than past the end of time.
inline Timestamp later(Timestamp t, Seconds by) {
  return t > kNever - by ? kNever : t + by;
}

/// Whole seconds between a login and `now`, rounded down. The login is not later than `now`.
inline Seconds age_of(Timestamp authenticated_at, Timestamp now) {
  return std::chrono::floor<Seconds>(now - authenticated_at);
}

}  // namespace cordon::policy
