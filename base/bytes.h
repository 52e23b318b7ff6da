#pragma once
// Bytes, their text forms, and the hash we use everywhere.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cordon {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

ByteView as_bytes(std::string_view text);
std::string_view as_text(ByteView bytes);

std::string to_hex(ByteView bytes);
Result<Bytes> from_hex(std::string_view text);
/// RFC 4648 section 4 with padding, and section 5 (URL safe) without.
std::string to_base64(ByteView bytes);
Result<Bytes> from_base64(std::string_view text);
std::string to_base64url(ByteView bytes);
Result<Bytes> from_base64url(std::string_view text);

/// Big-endian appends, for our own encodings.
void put_u8(Bytes& out, std::uint8_t v);
void put_u16(Bytes& out, std::uint16_t v);
void put_u32(Bytes& out, std::uint32_t v);
void put_u64(Bytes& out, std::uint64_t v);
/// 4-byte length, then the bytes.
void put_sized(Bytes& out, ByteView v);
void put_sized(Bytes& out, std::string_view v);

using Sha256 = std::array<std::uint8_t, 32>;
Sha256 sha256(ByteView bytes);

/// The digest of a set that changes: the sum modulo 2^256 of each element's SHA-256, so that adding and
/// removing cost one hash each and order doesn't matter.
class SetDigest {
 public:
  void add(ByteView element);
  void remove(ByteView element);
  const Sha256& value() const { return sum_; }
  bool operator==(const SetDigest&) const = default;

 private:
  Sha256 sum_{};  // big-endian
};

/// Equal in time that depends on the lengths only.
bool equal_in_constant_time(ByteView a, ByteView b);
/// From the system's generator (libsodium); never fails once the process runs.
Bytes random_bytes(std::size_t count);

/// A Curve25519 public or private key as WireGuard has it.
using WireguardKey = std::array<std::uint8_t, 32>;

}  // namespace cordon
