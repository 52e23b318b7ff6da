#pragma once
// Passwords, hashed with Argon2id (RFC 9106) by libsodium. Slow and large by intent: called on the hash pool
// only.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cordon::controller {

inline constexpr std::size_t kMinPasswordCharacters = 12;
inline constexpr std::size_t kMaxPasswordBytes = 1024;

/// What one hash costs.
struct HashCost {
  unsigned long long operations = 3;
  std::size_t memory_bytes = 64u << 20;
};

/// At least 12 characters (code points, not bytes) of valid UTF-8, at most 1024 bytes. The error never quotes
/// it.
Result<> check_password_policy(std::string_view password);

/// The hash with its salt and cost ("$argon2id$v=19$..."); `exhausted` when memory is short.
Result<std::string> hash_password(std::string_view password, const HashCost& cost);

/// True when `password` made `hash`. A malformed hash is false.
bool verify_password(std::string_view hash, std::string_view password);

}  // namespace cordon::controller
