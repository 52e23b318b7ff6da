#pragma once
// For base's own sources: OpenSSL objects that free themselves, and its error queue as an Error.

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/crypto.h"

namespace cordon::crypto {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
template <class T, auto Free>
using Owned = std::unique_ptr<T, Deleter<Free>>;

using OwnedBio = Owned<BIO, BIO_free>;
using OwnedKey = Owned<EVP_PKEY, EVP_PKEY_free>;
using OwnedDigest = Owned<EVP_MD, EVP_MD_free>;
using OwnedDigestContext = Owned<EVP_MD_CTX, EVP_MD_CTX_free>;
using OwnedX509 = Owned<X509, X509_free>;
using OwnedRequest = Owned<X509_REQ, X509_REQ_free>;

/// Makes PrivateKey objects; the key must be P-256.
struct PrivateKeyAccess {
  static Result<PrivateKey> wrap(OwnedKey key);
};

inline EVP_PKEY* native(const PrivateKey& key) {
  return static_cast<EVP_PKEY*>(key.native());
}

/// `what` with OpenSSL's own reason, whose queue is emptied.
std::unexpected<Error> fail_openssl(ErrorCode code, std::string what);

/// Empties the error queue: a failure that was answered must not be read by the next caller (TLS does).
void clear_errors();

/// Reads from `pem`, which must outlive it.
OwnedBio read_bio(std::string_view pem);
/// All that was written to a memory BIO.
std::string text_of(BIO* bio);

/// A PEM password callback that never asks anyone: encrypted PEM is simply refused.
int no_password(char* buffer, int size, int writing, void* user);

bool is_p256(EVP_PKEY* key);
Result<OwnedX509> read_certificate(std::string_view pem);

/// The DER of an object by its i2d function; empty when OpenSSL can't encode it.
template <auto I2d, class T>
Bytes der_of(T* object) {
  const int size = I2d(object, nullptr);
  if (size <= 0) return {};
  Bytes out(static_cast<std::size_t>(size));
  unsigned char* at = out.data();
  I2d(object, &at);
  return out;
}

}  // namespace cordon::crypto
