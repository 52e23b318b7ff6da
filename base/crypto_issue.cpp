// Making requests and certificates (RFC 2986, RFC 5280) for base/crypto.h.

#include <fmt/format.h>
#include <openssl/pem.h>

#include <ctime>

#include "base/address.h"
#include "base/openssl.h"

namespace cordon::crypto {
namespace {

using OwnedNames = Owned<GENERAL_NAMES, GENERAL_NAMES_free>;
using OwnedName = Owned<GENERAL_NAME, GENERAL_NAME_free>;
using OwnedNumber = Owned<BIGNUM, BN_free>;

// Bits of keyUsage (RFC 5280, 4.2.1.3).
constexpr int kDigitalSignature = 0, kKeyCertSign = 5, kCrlSign = 6;

std::unexpected<Error> cant_issue() {
  return fail_openssl(ErrorCode::internal, "can't make the certificate");
}

Result<> set_common_name(X509_NAME* name, std::string_view text) {
  if (text.empty()) return {};
  // X.520 allows 64 characters; OpenSSL enforces it.
  if (text.size() > 256 ||
      X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, as_bytes(text).data(),
                                 static_cast<int>(text.size()), -1, 0) != 1) {
    return fail_openssl(ErrorCode::invalid, fmt::format("'{}' can't be a common name", text.substr(0, 80)));
  }
  return {};
}

Result<> add_name(GENERAL_NAMES* names, int type, ByteView value) {
  ASN1_STRING* text = ASN1_STRING_type_new(type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
  OwnedName name(GENERAL_NAME_new());
  if (text == nullptr || !name || ASN1_STRING_set(text, value.data(), static_cast<int>(value.size())) != 1) {
    ASN1_STRING_free(text);
    return cant_issue();
  }
  GENERAL_NAME_set0_value(name.get(), type, text);
  if (sk_GENERAL_NAME_push(names, name.get()) == 0) return cant_issue();
  static_cast<void>(name.release());  // the list owns it now
  return {};
}

Result<> add_text_name(GENERAL_NAMES* names, int type, const std::string& text) {
  for (const char c : text) {
    if (c <= 0x20 || c >= 0x7f) {
      return fail(ErrorCode::invalid, fmt::format("'{}' can't be a name in a certificate", text),
                  "write it in printable ASCII without blanks");
    }
  }
  if (text.empty()) return fail(ErrorCode::invalid, "a name in a certificate can't be empty");
  return add_name(names, type, as_bytes(text));
}

Result<> add_extension(X509* certificate, int nid, void* value, bool critical) {
  if (X509_add1_ext_i2d(certificate, nid, value, critical ? 1 : 0, X509V3_ADD_DEFAULT) != 1)
    return cant_issue();
  return {};
}

Result<> add_alternative_names(X509* certificate, const CertificateSpec& spec) {
  const OwnedNames names(GENERAL_NAMES_new());
  if (!names) return cant_issue();
  for (const auto& uri : spec.uris) CORDON_TRY(add_text_name(names.get(), GEN_URI, uri));
  for (const auto& dns : spec.dns_names) CORDON_TRY(add_text_name(names.get(), GEN_DNS, dns));
  for (const auto& text : spec.ip_addresses) {
    CORDON_ASSIGN(const Address address, Address::parse(text));
    CORDON_TRY(add_name(names.get(), GEN_IPADD, address.raw()));
  }
  if (sk_GENERAL_NAME_num(names.get()) == 0) return {};
  // RFC 5280, 4.2.1.6: critical when the subject says nothing.
  return add_extension(certificate, NID_subject_alt_name, names.get(), spec.common_name.empty());
}

Result<> add_basic_constraints(X509* certificate, const CertificateSpec& spec) {
  const Owned<BASIC_CONSTRAINTS, BASIC_CONSTRAINTS_free> constraints(BASIC_CONSTRAINTS_new());
  if (!constraints) return cant_issue();
  constraints->ca = spec.is_ca ? 0xff : 0;
  if (spec.is_ca) {
    constraints->pathlen = ASN1_INTEGER_new();
    if (ASN1_INTEGER_set(constraints->pathlen, spec.path_length) != 1) return cant_issue();
  }
  return add_extension(certificate, NID_basic_constraints, constraints.get(), true);
}

Result<> add_key_usage(X509* certificate, const CertificateSpec& spec) {
  const Owned<ASN1_BIT_STRING, ASN1_BIT_STRING_free> usage(ASN1_BIT_STRING_new());
  if (!usage) return cant_issue();
  // A CA's key signs log heads and receipts' bundles too, so it keeps digitalSignature.
  bool done = ASN1_BIT_STRING_set_bit(usage.get(), kDigitalSignature, 1) == 1;
  if (spec.is_ca) {
    done = done && ASN1_BIT_STRING_set_bit(usage.get(), kKeyCertSign, 1) == 1 &&
           ASN1_BIT_STRING_set_bit(usage.get(), kCrlSign, 1) == 1;
  }
  if (!done) return cant_issue();
  return add_extension(certificate, NID_key_usage, usage.get(), true);
}

Result<> add_extended_key_usage(X509* certificate, const CertificateSpec& spec) {
  const Owned<EXTENDED_KEY_USAGE, EXTENDED_KEY_USAGE_free> usage(EXTENDED_KEY_USAGE_new());
  if (!usage) return cant_issue();
  // OBJ_nid2obj gives static objects: freeing the stack leaves them alone.
  if (spec.server_auth) sk_ASN1_OBJECT_push(usage.get(), OBJ_nid2obj(NID_server_auth));
  if (spec.client_auth) sk_ASN1_OBJECT_push(usage.get(), OBJ_nid2obj(NID_client_auth));
  if (sk_ASN1_OBJECT_num(usage.get()) == 0) return {};
  return add_extension(certificate, NID_ext_key_usage, usage.get(), false);
}

/// RFC 7093, section 2, method 1: the leftmost 160 bits of SHA-256 over the public key.
Result<> add_key_identifiers(X509* certificate, X509* issuer) {
  const ASN1_BIT_STRING* key = X509_get0_pubkey_bitstr(certificate);
  const Sha256 hash = sha256({ASN1_STRING_get0_data(key), static_cast<std::size_t>(ASN1_STRING_length(key))});
  const Owned<ASN1_OCTET_STRING, ASN1_OCTET_STRING_free> own(ASN1_OCTET_STRING_new());
  if (!own || ASN1_OCTET_STRING_set(own.get(), hash.data(), 20) != 1) return cant_issue();
  CORDON_TRY(add_extension(certificate, NID_subject_key_identifier, own.get(), false));

  const ASN1_OCTET_STRING* issuers = issuer == certificate ? own.get() : X509_get0_subject_key_id(issuer);
  if (issuers == nullptr) return {};
  const Owned<AUTHORITY_KEYID, AUTHORITY_KEYID_free> authority(AUTHORITY_KEYID_new());
  if (!authority) return cant_issue();
  authority->keyid = ASN1_OCTET_STRING_dup(issuers);
  return add_extension(certificate, NID_authority_key_identifier, authority.get(), false);
}

Result<> set_serial(X509* certificate) {
  const Bytes bytes = random_bytes(16);
  const OwnedNumber number(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
  if (!number || BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) == nullptr)
    return cant_issue();
  return {};
}

Result<> set_validity(X509* certificate, const CertificateSpec& spec) {
  if (spec.not_before >= spec.not_after)
    return fail(ErrorCode::invalid, "a certificate can't end before it begins");
  const auto seconds = [](Timestamp t) { return std::chrono::floor<Seconds>(t).time_since_epoch().count(); };
  // RFC 5280, 4.1.2.5: this date says that there is no end.
  const std::time_t end = spec.not_after == kNever ? 253402300799 : seconds(spec.not_after);
  if (ASN1_TIME_set(X509_getm_notBefore(certificate), seconds(spec.not_before)) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(certificate), end) == nullptr) {
    return fail_openssl(ErrorCode::invalid, "the certificate's validity can't be written");
  }
  return {};
}

/// `issuer` is null for a self-signed certificate.
Result<std::string> build(EVP_PKEY* subject_key, const CertificateSpec& spec, const PrivateKey& issuer_key,
                          X509* issuer) {
  const OwnedX509 owned(X509_new());
  X509* const x = owned.get();
  if (x == nullptr || X509_set_version(x, X509_VERSION_3) != 1 || X509_set_pubkey(x, subject_key) != 1) {
    return cant_issue();
  }
  CORDON_TRY(set_serial(x));
  CORDON_TRY(set_validity(x, spec));
  CORDON_TRY(set_common_name(X509_get_subject_name(x), spec.common_name));
  X509* const signer = issuer == nullptr ? x : issuer;
  if (X509_set_issuer_name(x, X509_get_subject_name(signer)) != 1) return cant_issue();
  CORDON_TRY(add_basic_constraints(x, spec));
  CORDON_TRY(add_key_usage(x, spec));
  CORDON_TRY(add_extended_key_usage(x, spec));
  CORDON_TRY(add_key_identifiers(x, signer));
  CORDON_TRY(add_alternative_names(x, spec));
  if (X509_sign(x, native(issuer_key), EVP_sha256()) == 0) return cant_issue();
  const OwnedBio bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_X509(bio.get(), x) != 1) return cant_issue();
  return text_of(bio.get());
}

Result<OwnedX509> read_issuer(std::string_view pem, const PrivateKey& key) {
  CORDON_ASSIGN(OwnedX509 issuer, read_certificate(pem));
  if ((X509_get_extension_flags(issuer.get()) & EXFLAG_CA) == 0) {
    return fail(ErrorCode::invalid, "the issuer's certificate is not a CA's");
  }
  if (EVP_PKEY_eq(X509_get0_pubkey(issuer.get()), native(key)) != 1) {
    clear_errors();
    return fail(ErrorCode::invalid, "the issuer's key doesn't belong to its certificate");
  }
  return issuer;
}

}  // namespace

Result<std::string> make_csr(const PrivateKey& key, std::string_view common_name) {
  const OwnedRequest request(X509_REQ_new());
  if (!request) return cant_issue();
  CORDON_TRY(set_common_name(X509_REQ_get_subject_name(request.get()), common_name));
  const OwnedBio bio(BIO_new(BIO_s_mem()));
  if (X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      X509_REQ_set_pubkey(request.get(), native(key)) != 1 ||
      X509_REQ_sign(request.get(), native(key), EVP_sha256()) == 0 || !bio ||
      PEM_write_bio_X509_REQ(bio.get(), request.get()) != 1) {
    return fail_openssl(ErrorCode::internal, "can't make the certificate request");
  }
  return text_of(bio.get());
}

Result<std::string> issue_from_csr(std::string_view csr_pem, const CertificateSpec& spec,
                                   const PrivateKey& issuer_key, std::string_view issuer_pem) {
  const OwnedBio bio = read_bio(csr_pem);
  const OwnedRequest request(PEM_read_bio_X509_REQ(bio.get(), nullptr, no_password, nullptr));
  if (!request) return fail_openssl(ErrorCode::invalid, "the certificate request is malformed");
  EVP_PKEY* const key = X509_REQ_get0_pubkey(request.get());
  if (!is_p256(key)) {
    clear_errors();
    return fail(ErrorCode::invalid, "the certificate request is not for a P-256 key");
  }
  if (X509_REQ_verify(request.get(), key) != 1) {
    return fail_openssl(ErrorCode::invalid, "the certificate request's signature is wrong");
  }
  CORDON_ASSIGN(const OwnedX509 issuer, read_issuer(issuer_pem, issuer_key));
  return build(key, spec, issuer_key, issuer.get());
}

Result<std::string> issue(const PrivateKey& subject_key, const CertificateSpec& spec,
                          const PrivateKey& issuer_key, std::string_view issuer_pem) {
  if (issuer_pem.empty()) {
    if (EVP_PKEY_eq(native(subject_key), native(issuer_key)) != 1) {
      clear_errors();
      return fail(ErrorCode::invalid, "a certificate without an issuer is signed by its own key");
    }
    return build(native(subject_key), spec, issuer_key, nullptr);
  }
  CORDON_ASSIGN(const OwnedX509 issuer, read_issuer(issuer_pem, issuer_key));
  return build(native(subject_key), spec, issuer_key, issuer.get());
}

}  // namespace cordon::crypto
