#pragma once
// For proto's own sources: the rules that a message's fields keep (PROTOCOL.md, "Limits").

#include <cstdint>
#include <string_view>

#include "base/address.h"
#include "base/result.h"
#include "proto/cordon.pb.h"

namespace cordon::wire {

inline constexpr std::size_t kLongestDeviceName = 63;
inline constexpr std::size_t kLongestId = 64;     ///< sessions, tokens, feature, map and counter names
inline constexpr std::size_t kLongestName = 255;  ///< rules, users, targets, controllers
inline constexpr std::size_t kLongestReason = 4096;
inline constexpr std::size_t kLongestPem = 64u << 10;
inline constexpr std::size_t kLongestSignature = 256;
inline constexpr std::size_t kHashBytes = 32, kKeyBytes = 32;

/// A `protocol` error about `field`.
std::unexpected<Error> refuse(std::string_view field, std::string_view why);

Result<> check_most(std::string_view field, std::uint64_t value, std::uint64_t most);
Result<> check_bytes(std::string_view field, std::string_view value, std::size_t exactly);
/// Empty, or `exactly` bytes.
Result<> check_optional_bytes(std::string_view field, std::string_view value, std::size_t exactly);
Result<> check_length(std::string_view field, std::string_view value, std::size_t most);
/// 1 to `most` bytes without control characters.
Result<> check_name(std::string_view field, std::string_view value, std::size_t most);
/// [a-z0-9-]{1,63}
Result<> check_device(std::string_view field, std::string_view value);
Result<> check_count(std::string_view field, int count, std::size_t most);

Result<> check(const ToController& message);
Result<> check(const ToNode& message);

}  // namespace cordon::wire
