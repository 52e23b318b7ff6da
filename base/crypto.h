#pragma once
// Keys and certificates, wrapped so that no OpenSSL header is needed to use them.
// Keys are P-256, signatures ECDSA with SHA-256 (FIPS 186-5), certificates X.509 v3 (RFC 5280).

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"

namespace cordon::crypto {

/// A P-256 private key. Copies share the key.
class PrivateKey {
 public:
  static Result<PrivateKey> generate();
  static Result<PrivateKey> from_pem(std::string_view pem);

  std::string to_pem() const;    ///< PKCS #8, not encrypted: for files 0600 only
  Bytes public_key_der() const;  ///< SubjectPublicKeyInfo
  Bytes sign(ByteView message) const;
  void* native() const { return key_.get(); }  ///< EVP_PKEY*, for base/crypto and pki only

 private:
  std::shared_ptr<void> key_;
  friend struct PrivateKeyAccess;
};

/// True when `signature` over `message` was made by the key in `public_key_der`.
bool verify(ByteView public_key_der, ByteView message, ByteView signature);

/// A PKCS #10 request (PEM) for `key` with that common name.
Result<std::string> make_csr(const PrivateKey& key, std::string_view common_name);

/// What we read from a certificate.
struct CertificateInfo {
  std::string common_name;
  std::vector<std::string> uris;  ///< subjectAltName URIs ("spiffe://...")
  Bytes public_key_der;
  Sha256 fingerprint{};  ///< SHA-256 of the DER
  std::string serial_hex;
  Timestamp not_before{}, not_after{};
  bool is_ca = false;
};
Result<CertificateInfo> parse_certificate(std::string_view pem);

/// What a certificate that we issue says. The serial is 128 random bits.
struct CertificateSpec {
  std::string common_name;
  std::vector<std::string> uris{};
  std::vector<std::string> dns_names{};
  std::vector<std::string> ip_addresses{};
  Timestamp not_before{}, not_after{};
  bool is_ca = false;
  int path_length = 0;  ///< for a CA
  bool server_auth = false, client_auth = false;
};

/// A certificate (PEM) for the key in `csr_pem`, whose own signature is checked; names come from `spec`
/// alone.
Result<std::string> issue_from_csr(std::string_view csr_pem, const CertificateSpec& spec,
                                   const PrivateKey& issuer_key, std::string_view issuer_pem);
/// A certificate (PEM) for `subject_key`; self-signed when `issuer_pem` is empty.
Result<std::string> issue(const PrivateKey& subject_key, const CertificateSpec& spec,
                          const PrivateKey& issuer_key, std::string_view issuer_pem);

/// X25519 key pair for WireGuard: clamped private key, its public key.
WireguardKey wireguard_generate();
WireguardKey wireguard_public(const WireguardKey& private_key);

}  // namespace cordon::crypto
