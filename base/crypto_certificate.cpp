// Reading certificates: parse_certificate() of base/crypto.h.

#include <openssl/asn1.h>

#include <algorithm>

#include "base/openssl.h"

namespace cordon::crypto {
namespace {

using OwnedNames = Owned<GENERAL_NAMES, GENERAL_NAMES_free>;
using OwnedNumber = Owned<BIGNUM, BN_free>;

std::string_view view_of(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<std::size_t>(ASN1_STRING_length(text))};
}

/// Empty when the subject has no common name; one with a NUL inside is refused, it reads differently
/// elsewhere.
Result<std::string> common_name_of(const X509* certificate) {
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (index < 0) return std::string();
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
  if (size < 0) return fail_openssl(ErrorCode::invalid, "the certificate's common name is malformed");
  std::string out(reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(size));
  OPENSSL_free(utf8);
  if (out.contains('\0')) return fail(ErrorCode::invalid, "the certificate's common name is malformed");
  return out;
}

Result<std::vector<std::string>> uris_of(const X509* certificate) {
  std::vector<std::string> out;
  const OwnedNames names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const std::string_view uri = view_of(name->d.uniformResourceIdentifier);
    const bool printable = std::ranges::all_of(uri, [](char c) { return c > 0x20 && c < 0x7f; });
    if (uri.empty() || !printable)
      return fail(ErrorCode::invalid, "the certificate has a malformed URI name");
    out.emplace_back(uri);
  }
  return out;
}

Result<Timestamp> time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) {
    return fail_openssl(ErrorCode::invalid, "the certificate's validity is malformed");
  }
  const std::chrono::year_month_day day{std::chrono::year(parts.tm_year + 1900),
                                        std::chrono::month(static_cast<unsigned>(parts.tm_mon) + 1),
                                        std::chrono::day(static_cast<unsigned>(parts.tm_mday))};
  return std::chrono::sys_days(day) + std::chrono::hours(parts.tm_hour) + std::chrono::minutes(parts.tm_min) +
         Seconds(parts.tm_sec);
}

std::string serial_of(const X509* certificate) {
  const OwnedNumber number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  if (!number) return {};
  Bytes bytes(static_cast<std::size_t>(BN_num_bytes(number.get())));
  BN_bn2bin(number.get(), bytes.data());
  return to_hex(bytes);
}

}  // namespace

Result<CertificateInfo> parse_certificate(std::string_view pem) {
  CORDON_ASSIGN(const OwnedX509 certificate, read_certificate(pem));
  X509* const x = certificate.get();
  CertificateInfo out;
  CORDON_ASSIGN(out.common_name, common_name_of(x));
  CORDON_ASSIGN(out.uris, uris_of(x));
  out.public_key_der = der_of<i2d_X509_PUBKEY>(X509_get_X509_PUBKEY(x));
  out.fingerprint = sha256(der_of<i2d_X509>(x));
  out.serial_hex = serial_of(x);
  CORDON_ASSIGN(out.not_before, time_of(X509_get0_notBefore(x)));
  CORDON_ASSIGN(out.not_after, time_of(X509_get0_notAfter(x)));
  out.is_ca = (X509_get_extension_flags(x) & EXFLAG_CA) != 0;
  clear_errors();
  return out;
}

}  // namespace cordon::crypto
