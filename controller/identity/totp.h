#pragma once
// One-time codes by time (RFC 6238): SHA-1, 30 s, six digits, as every authenticator app has them.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/time.h"

namespace cordon::controller {

inline constexpr unsigned kTotpStepSeconds = 30;
inline constexpr std::size_t kTotpSecretBytes = 20;  // RFC 4226, section 4, R6

/// The number of a moment's step.
std::uint64_t totp_step(Timestamp at);

/// The code of a step, `digits` (6 to 8) long with leading zeros (RFC 4226, section 5.3).
std::string totp_code(ByteView secret, std::uint64_t step, unsigned digits = 6);

/// The step that `code` belongs to: now's, the one before or the one after, and later than `last_used` (a
/// step serves once). All three are computed and compared always, so time tells nothing.
std::optional<std::uint64_t> totp_match(ByteView secret, std::string_view code, Timestamp now,
                                        std::uint64_t last_used);

/// RFC 4648 section 6 without padding, as authenticator apps want it.
std::string to_base32(ByteView bytes);

/// The URI behind the QR code that authenticator apps read.
std::string otpauth_uri(std::string_view user, ByteView secret);

}  // namespace cordon::controller
