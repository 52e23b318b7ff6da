#include "controller/pki/csr.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

namespace cordon::controller {

namespace {
template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* p) const {
    Free(p);
  }
};
using Bio = std::unique_ptr<BIO, Deleter<BIO_free>>;
using Request = std::unique_ptr<X509_REQ, Deleter<X509_REQ_free>>;

/// Whose key is on P-256 (FIPS 186-5), the one curve that devices use.
bool is_p256(EVP_PKEY* key) {
  char group[32] = {};
  std::size_t length = 0;
  return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
         EVP_PKEY_get_group_name(key, group, sizeof group, &length) == 1 &&
         std::string_view(group, length) == "prime256v1";
}

std::unexpected<Error> refuse(std::string what) {
  ERR_clear_error();
  return fail(ErrorCode::invalid, std::move(what), "send a PKCS #10 request for a P-256 key, signed with it");
}
}  // namespace

Result<Bytes> csr_public_key(std::string_view csr_pem) {
  if (csr_pem.size() > kMaxCsrBytes) return refuse("the certificate request is too long");
  const Bio bio(BIO_new_mem_buf(csr_pem.data(), static_cast<int>(csr_pem.size())));
  const Request request(PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  if (!request) return refuse("the certificate request can't be read");
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (key == nullptr || !is_p256(key)) return refuse("the key of the certificate request is not P-256");
  if (X509_REQ_verify(request.get(), key) != 1) {
    return refuse("the certificate request is not signed with its key");
  }
  unsigned char* der = nullptr;
  const int length = i2d_PUBKEY(key, &der);
  if (length <= 0) return refuse("the key of the certificate request can't be encoded");
  Bytes out(der, der + length);
  OPENSSL_free(der);
  return out;
}

}  // namespace cordon::controller
