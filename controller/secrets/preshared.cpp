#include "controller/secrets/preshared.h"

#include <sodium.h>

#include <algorithm>

#include "controller/secrets/secret_store.h"

namespace cordon::controller {
namespace {

constexpr std::string_view kPresharedName = "wireguard preshared";
constexpr std::string_view kPresharedInfo = "cordon wireguard preshared 1";

}  // namespace

Result<PresharedSource> PresharedSource::open(SecretStore& store) {
  CORDON_ASSIGN(auto secret, store.get(kPresharedName));
  if (!secret) {
    secret = random_bytes(sizeof(Sha256));
    CORDON_TRY(store.put(kPresharedName, *secret));
  }
  if (secret->size() != sizeof(Sha256))
    return fail(ErrorCode::invalid, "the secret of the preshared keys has a wrong length");
  return PresharedSource(*secret);
}

PresharedSource::PresharedSource(const Bytes& secret) {
  std::ranges::copy(secret, secret_.begin());
}

WireguardKey PresharedSource::of(const WireguardKey& a, const WireguardKey& b) const {
  static_assert(crypto_auth_hmacsha256_KEYBYTES == sizeof(Sha256));
  static_assert(crypto_auth_hmacsha256_BYTES == sizeof(WireguardKey));
  // The secret is uniform already, so HKDF's first half has nothing to do; 32 bytes are one block.
  Bytes info(kPresharedInfo.begin(), kPresharedInfo.end());
  const auto& [first, second] = std::minmax(a, b);
  info.insert(info.end(), first.begin(), first.end());
  info.insert(info.end(), second.begin(), second.end());
  info.push_back(1);
  WireguardKey out;
  crypto_auth_hmacsha256(out.data(), info.data(), info.size(), secret_.data());
  return out;
}

}  // namespace cordon::controller
