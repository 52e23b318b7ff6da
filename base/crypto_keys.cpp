// Keys and signatures of base/crypto.h.

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <sodium.h>

#include <algorithm>
#include <cstdlib>

#include "base/openssl.h"
#include "base/sodium.h"

namespace cordon::crypto {

Result<PrivateKey> PrivateKeyAccess::wrap(OwnedKey key) {
  if (!is_p256(key.get())) return fail(ErrorCode::invalid, "the key is not a P-256 key");
  PrivateKey out;
  out.key_ = std::shared_ptr<void>(key.release(), [](void* k) { EVP_PKEY_free(static_cast<EVP_PKEY*>(k)); });
  return out;
}

Result<PrivateKey> PrivateKey::generate() {
  OwnedKey key(EVP_EC_gen("P-256"));
  if (!key) return fail_openssl(ErrorCode::internal, "can't make a key");
  return PrivateKeyAccess::wrap(std::move(key));
}

Result<PrivateKey> PrivateKey::from_pem(std::string_view pem) {
  const OwnedBio bio = read_bio(pem);
  OwnedKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  if (!key) return fail_openssl(ErrorCode::invalid, "the private key is malformed");
  return PrivateKeyAccess::wrap(std::move(key));
}

// The functions below have no error to give: on a key that was made or read above they fail only when
// memory is out.

std::string PrivateKey::to_pem() const {
  const OwnedBio bio(BIO_new(BIO_s_secmem()));
  if (!bio || PEM_write_bio_PKCS8PrivateKey(bio.get(), crypto::native(*this), nullptr, nullptr, 0, nullptr,
                                            nullptr) != 1) {
    std::abort();
  }
  return text_of(bio.get());
}

Bytes PrivateKey::public_key_der() const {
  return der_of<i2d_PUBKEY>(crypto::native(*this));
}

Bytes PrivateKey::sign(ByteView message) const {
  const OwnedDigestContext context(EVP_MD_CTX_new());
  std::size_t size = 0;
  if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, crypto::native(*this)) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, message.data(), message.size()) != 1) {
    std::abort();
  }
  Bytes out(size);
  if (EVP_DigestSign(context.get(), out.data(), &size, message.data(), message.size()) != 1) std::abort();
  out.resize(size);  // the first answer is the most it can be
  return out;
}

bool verify(ByteView public_key_der, ByteView message, ByteView signature) {
  const unsigned char* at = public_key_der.data();
  const OwnedKey key(d2i_PUBKEY(nullptr, &at, static_cast<long>(public_key_der.size())));
  const bool whole = key && at == public_key_der.data() + public_key_der.size();
  bool good = false;
  if (whole && is_p256(key.get())) {
    const OwnedDigestContext context(EVP_MD_CTX_new());
    good = context && EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) == 1 &&
           EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(),
                            message.size()) == 1;
  }
  clear_errors();
  return good;
}

WireguardKey wireguard_generate() {
  ensure_sodium();
  WireguardKey out;
  randombytes_buf(out.data(), out.size());
  // RFC 7748, section 5: what every user of the key would do to it anyway.
  out[0] &= 248;
  out[31] = static_cast<std::uint8_t>((out[31] & 127) | 64);
  return out;
}

WireguardKey wireguard_public(const WireguardKey& private_key) {
  ensure_sodium();
  WireguardKey out;
  if (crypto_scalarmult_curve25519_base(out.data(), private_key.data()) != 0) std::abort();
  return out;
}

}  // namespace cordon::crypto
