#pragma once
// Sealing: XChaCha20-Poly1305 (libsodium) with a random nonce of 24 bytes in front, so that a key may seal
// any number of messages.

#include <optional>
#include <string_view>

#include "base/bytes.h"

namespace cordon::controller {

inline constexpr std::size_t kSealKeyBytes = 32;

/// nonce(24) ciphertext tag(16); `about` isn't in it but must be the same to open.
Bytes seal(ByteView key, ByteView plain, std::string_view about);
/// nullopt: another key, another `about` or other bytes.
std::optional<Bytes> open_sealed(ByteView key, ByteView sealed, std::string_view about);

}  // namespace cordon::controller
