#pragma once
// API tokens as people carry them: "cordona1." id "." secret, the secret base64url.

#include <optional>
#include <string>
#include <string_view>

#include "controller/api/route.h"
#include "policy/world.h"

namespace cordon::controller::api {

inline constexpr std::string_view kLocalActor = "root@local";
inline constexpr std::int64_t kLongestTokenLife = std::int64_t{90} * 24 * 3600;

std::string api_token_text(const TokenId& id, ByteView secret);

/// Who carries this token. `unauthorized` for everything that doesn't hold, without telling which: malformed,
/// unknown, revoked, expired, or its owner is disabled.
Result<Caller> authenticate(const policy::World& world, std::string_view token, Timestamp now);

}  // namespace cordon::controller::api
