#pragma once
// WireGuard's preshared keys: each pair of public keys has one, worked out from a secret of this
// installation. So there is nothing to keep for a pair, a controller that starts again gives the same ones,
// and a key that changes changes them.

#include "base/bytes.h"
#include "base/result.h"

namespace cordon::controller {

class SecretStore;

class PresharedSource {
 public:
  /// The installation's secret, made at the first call.
  static Result<PresharedSource> open(SecretStore& store);
  /// The same for (a, b) as for (b, a): HKDF-Expand (RFC 5869) with SHA-256 of the secret and both keys.
  WireguardKey of(const WireguardKey& a, const WireguardKey& b) const;

 private:
  explicit PresharedSource(const Bytes& secret);
  Sha256 secret_{};
};

}  // namespace cordon::controller
