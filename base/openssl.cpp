#include "base/openssl.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <array>
#include <climits>

namespace cordon::crypto {

std::unexpected<Error> fail_openssl(ErrorCode code, std::string what) {
  const unsigned long first = ERR_get_error();
  ERR_clear_error();
  const char* reason = first == 0 ? nullptr : ERR_reason_error_string(first);
  return fail(code, reason == nullptr ? std::move(what) : fmt::format("{}: {}", what, reason));
}

void clear_errors() {
  ERR_clear_error();
}

OwnedBio read_bio(std::string_view pem) {
  if (pem.size() > INT_MAX) pem = {};
  return OwnedBio(BIO_new_mem_buf(pem.data() == nullptr ? "" : pem.data(), static_cast<int>(pem.size())));
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

int no_password(char*, int, int, void*) {
  return -1;
}

bool is_p256(EVP_PKEY* key) {
  if (key == nullptr || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC) return false;
  std::array<char, 64> group{};
  std::size_t size = 0;
  return EVP_PKEY_get_group_name(key, group.data(), group.size(), &size) == 1 &&
         std::string_view(group.data(), size) == "prime256v1";
}

Result<OwnedX509> read_certificate(std::string_view pem) {
  const OwnedBio bio = read_bio(pem);
  OwnedX509 out(PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr));
  if (!out) return fail_openssl(ErrorCode::invalid, "the certificate is malformed");
  // Parses the extensions; a broken one would otherwise read as absent.
  if ((X509_get_extension_flags(out.get()) & EXFLAG_INVALID) != 0) {
    return fail_openssl(ErrorCode::invalid, "the certificate has a malformed extension");
  }
  return out;
}

}  // namespace cordon::crypto
