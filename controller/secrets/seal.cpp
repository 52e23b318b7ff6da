#include "controller/secrets/seal.h"

#include <sodium.h>

#include <algorithm>

namespace cordon::controller {

namespace {
constexpr std::size_t kNonceBytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t kTagBytes = crypto_aead_xchacha20poly1305_ietf_ABYTES;
static_assert(kSealKeyBytes == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
}  // namespace

Bytes seal(ByteView key, ByteView plain, std::string_view about) {
  Bytes out = random_bytes(kNonceBytes);
  out.resize(kNonceBytes + plain.size() + kTagBytes);
  const auto extra = as_bytes(about);
  crypto_aead_xchacha20poly1305_ietf_encrypt(out.data() + kNonceBytes, nullptr, plain.data(), plain.size(),
                                             extra.data(), extra.size(), nullptr, out.data(), key.data());
  return out;
}

std::optional<Bytes> open_sealed(ByteView key, ByteView sealed, std::string_view about) {
  if (key.size() != kSealKeyBytes || sealed.size() < kNonceBytes + kTagBytes) return std::nullopt;
  const auto cipher = sealed.subspan(kNonceBytes);
  const auto extra = as_bytes(about);
  Bytes plain(cipher.size() - kTagBytes);
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(plain.data(), nullptr, nullptr, cipher.data(), cipher.size(),
                                                 extra.data(), extra.size(), sealed.data(),
                                                 key.data()) != 0) {
    return std::nullopt;
  }
  return plain;
}

}  // namespace cordon::controller
