#pragma once
// What a certificate request proves: that its sender holds the private key of the public key inside.

#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace cordon::controller {

inline constexpr std::size_t kMaxCsrBytes = 8192;

/// The public key (SubjectPublicKeyInfo) of a PKCS #10 request (PEM) that is signed with it; only P-256 is
/// taken.
Result<Bytes> csr_public_key(std::string_view csr_pem);

}  // namespace cordon::controller
