#include "base/crypto.h"

#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

#include <algorithm>

#include "base/openssl.h"

namespace cordon::crypto {
namespace {

using OwnedStore = Owned<X509_STORE, X509_STORE_free>;
using OwnedStoreContext = Owned<X509_STORE_CTX, X509_STORE_CTX_free>;

const Timestamp kStart = *parse_rfc3339("2026-01-01T00:00:00Z");

CertificateSpec ca_spec(std::string name, int path_length) {
  return {.common_name = std::move(name),
          .not_before = kStart,
          .not_after = kStart + Seconds(86400 * 3650LL),
          .is_ca = true,
          .path_length = path_length};
}
CertificateSpec device_spec() {
  return {.common_name = "ledger",
          .uris = {"spiffe://acme.example/device/ledger"},
          .dns_names = {"ledger.acme.example"},
          .ip_addresses = {"192.0.2.1", "2001:db8::1"},
          .not_before = kStart,
          .not_after = kStart + Seconds(86400),
          .server_auth = true,
          .client_auth = true};
}

/// Root, intermediate and device, as a controller makes them.
struct Chain {
  PrivateKey root_key = *PrivateKey::generate(), middle_key = *PrivateKey::generate(),
             leaf_key = *PrivateKey::generate();
  std::string root = *issue(root_key, ca_spec("root", 1), root_key, "");
  std::string middle = *issue(middle_key, ca_spec("intermediate", 0), root_key, root);
  std::string leaf = *issue_from_csr(*make_csr(leaf_key, "asked"), device_spec(), middle_key, middle);
};

/// What OpenSSL itself, in strict mode, says of leaf <- middle <- root; X509_V_OK is 0.
int verify_chain(const std::string& leaf, const std::string& middle, const std::string& root, int purpose,
                 Timestamp at = kStart + Seconds(60)) {
  const auto leaf_x = read_certificate(leaf), root_x = read_certificate(root),
             middle_x = read_certificate(middle);
  const OwnedStore store(X509_STORE_new());
  X509_STORE_add_cert(store.get(), root_x->get());
  STACK_OF(X509)* untrusted = sk_X509_new_null();
  sk_X509_push(untrusted, middle_x->get());
  const OwnedStoreContext context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), leaf_x->get(), untrusted);
  X509_STORE_CTX_set_purpose(context.get(), purpose);
  X509_STORE_CTX_set_flags(context.get(), X509_V_FLAG_X509_STRICT);
  X509_STORE_CTX_set_time(context.get(), 0, std::chrono::system_clock::to_time_t(at));
  X509_verify_cert(context.get());
  const int out = X509_STORE_CTX_get_error(context.get());
  sk_X509_free(untrusted);
  return out;
}

TEST(Keys, PemRoundTripsAndSignaturesVerify) {
  const auto key = *PrivateKey::generate();
  const auto again = PrivateKey::from_pem(key.to_pem());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->public_key_der(), key.public_key_der());
  const auto message = as_bytes("message");
  const Bytes signature = again->sign(message);
  EXPECT_TRUE(verify(key.public_key_der(), message, signature));
  EXPECT_FALSE(verify(key.public_key_der(), as_bytes("other"), signature));
  EXPECT_FALSE(verify(PrivateKey::generate()->public_key_der(), message, signature));
  Bytes bent = signature;
  bent.back() ^= 1;
  EXPECT_FALSE(verify(key.public_key_der(), message, bent));
  for (std::size_t size = 0; size < signature.size(); ++size) {
    EXPECT_FALSE(verify(key.public_key_der(), message, ByteView(signature).first(size)));
  }
  Bytes longer = key.public_key_der();
  longer.push_back(0);
  EXPECT_FALSE(verify(longer, message, signature));
  EXPECT_FALSE(verify({}, message, signature));
}

TEST(Keys, OnlyP256IsTaken) {
  const OwnedKey p384(EVP_EC_gen("P-384")), ed25519(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  for (EVP_PKEY* key : {p384.get(), ed25519.get()}) {
    const OwnedBio bio(BIO_new(BIO_s_mem()));
    ASSERT_EQ(PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr), 1);
    EXPECT_EQ(PrivateKey::from_pem(text_of(bio.get())).error().code, ErrorCode::invalid);
  }
  EXPECT_FALSE(PrivateKey::from_pem(""));
  EXPECT_FALSE(PrivateKey::from_pem("-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n"));
  EXPECT_FALSE(PrivateKey::from_pem(std::string_view()));
}

TEST(Keys, EncryptedPemIsRefusedWithoutAsking) {
  const OwnedKey key(EVP_EC_gen("P-256"));
  const OwnedBio bio(BIO_new(BIO_s_mem()));
  unsigned char password[] = "secret";
  ASSERT_EQ(PEM_write_bio_PrivateKey(bio.get(), key.get(), EVP_aes_128_cbc(), password, 6, nullptr, nullptr),
            1);
  EXPECT_FALSE(PrivateKey::from_pem(text_of(bio.get())));
}

TEST(Certificates, AChainVerifiesForItsPurposesAndInItsTimeOnly) {
  const Chain chain;
  EXPECT_EQ(verify_chain(chain.leaf, chain.middle, chain.root, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
  EXPECT_EQ(verify_chain(chain.leaf, chain.middle, chain.root, X509_PURPOSE_SSL_SERVER), X509_V_OK);
  EXPECT_EQ(
      verify_chain(chain.leaf, chain.middle, chain.root, X509_PURPOSE_SSL_CLIENT, kStart + Seconds(86401)),
      X509_V_ERR_CERT_HAS_EXPIRED);
  EXPECT_EQ(verify_chain(chain.leaf, chain.middle, chain.root, X509_PURPOSE_SSL_CLIENT, kStart - Seconds(1)),
            X509_V_ERR_CERT_NOT_YET_VALID);
  const Chain other;
  EXPECT_NE(verify_chain(chain.leaf, chain.middle, other.root, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
  EXPECT_NE(verify_chain(chain.leaf, other.middle, other.root, X509_PURPOSE_SSL_CLIENT), X509_V_OK);

  auto client_only = device_spec();
  client_only.server_auth = false;
  const auto client = *issue(chain.leaf_key, client_only, chain.middle_key, chain.middle);
  EXPECT_EQ(verify_chain(client, chain.middle, chain.root, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
  EXPECT_NE(verify_chain(client, chain.middle, chain.root, X509_PURPOSE_SSL_SERVER), X509_V_OK);
}

TEST(Certificates, SayWhatTheSpecSaidAndNotWhatTheRequestAsked) {
  const Chain chain;
  const auto info = parse_certificate(chain.leaf);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->common_name, "ledger");
  EXPECT_EQ(info->uris, device_spec().uris);
  EXPECT_EQ(info->public_key_der, chain.leaf_key.public_key_der());
  EXPECT_EQ(info->not_before, kStart);
  EXPECT_EQ(info->not_after, kStart + Seconds(86400));
  EXPECT_FALSE(info->is_ca);
  EXPECT_LE(info->serial_hex.size(), 32u);
  EXPECT_TRUE(parse_certificate(chain.middle)->is_ca);
  EXPECT_NE(parse_certificate(chain.middle)->serial_hex, info->serial_hex);
  // A chain reads as its first.
  EXPECT_EQ(parse_certificate(chain.leaf + chain.middle)->fingerprint, info->fingerprint);
}

TEST(Certificates, AnEndlessOneSaysSo) {
  const auto key = *PrivateKey::generate();
  auto spec = ca_spec("root", 1);
  spec.not_after = kNever;
  const auto pem = issue(key, spec, key, "");
  ASSERT_TRUE(pem);
  EXPECT_EQ(format_rfc3339(parse_certificate(*pem)->not_after), "9999-12-31T23:59:59Z");
}

TEST(Certificates, ARequestWithABadSignatureIsRefused) {
  const Chain chain;
  // A request for someone else's public key, signed by our own.
  const auto victim = *PrivateKey::generate(), thief = *PrivateKey::generate();
  const OwnedRequest request(X509_REQ_new());
  X509_REQ_set_pubkey(request.get(), native(victim));
  ASSERT_NE(X509_REQ_sign(request.get(), native(thief), EVP_sha256()), 0);
  const OwnedBio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509_REQ(bio.get(), request.get());
  const auto out = issue_from_csr(text_of(bio.get()), device_spec(), chain.middle_key, chain.middle);
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().code, ErrorCode::invalid);
  EXPECT_NE(out.error().what.find("signature"), std::string::npos);
}

TEST(Certificates, RefusesWrongIssuersAndNames) {
  const Chain chain;
  const auto csr = *make_csr(chain.leaf_key, "x");
  EXPECT_FALSE(
      issue_from_csr(csr, device_spec(), chain.root_key, chain.middle));  // a key that isn't the issuer's
  EXPECT_FALSE(issue_from_csr(csr, device_spec(), chain.leaf_key, chain.leaf));  // an issuer that is no CA
  EXPECT_FALSE(issue_from_csr("", device_spec(), chain.middle_key, chain.middle));
  EXPECT_FALSE(issue_from_csr(csr, device_spec(), chain.middle_key, ""));
  EXPECT_FALSE(issue(chain.leaf_key, device_spec(), chain.root_key, ""));
  auto spec = device_spec();
  spec.not_after = spec.not_before;
  EXPECT_FALSE(issue_from_csr(csr, spec, chain.middle_key, chain.middle));
  for (const auto* name : {"", "a b", "a\n", "\xc3\xa9"}) {
    spec = device_spec();
    spec.dns_names = {name};
    EXPECT_FALSE(issue_from_csr(csr, spec, chain.middle_key, chain.middle)) << name;
  }
  spec = device_spec();
  spec.ip_addresses = {"not one"};
  EXPECT_FALSE(issue_from_csr(csr, spec, chain.middle_key, chain.middle));
  EXPECT_FALSE(make_csr(chain.leaf_key, std::string(65, 'x')));
}

TEST(Certificates, ACommaInANameIsNoSecondName) {
  const Chain chain;
  auto spec = device_spec();
  spec.uris = {"spiffe://a/x,URI:spiffe://a/y"};
  const auto pem = issue(chain.leaf_key, spec, chain.middle_key, chain.middle);
  ASSERT_TRUE(pem);
  EXPECT_EQ(parse_certificate(*pem)->uris, spec.uris);
}

TEST(Certificates, EveryPrefixOfOneIsRefused) {
  const Chain chain;
  const std::string_view whole(chain.leaf);
  for (std::size_t size = 0; size + 30 < whole.size(); ++size) {
    EXPECT_FALSE(parse_certificate(whole.substr(0, size))) << size;
  }
}

TEST(Certificates, FailuresLeaveNoErrorForTheNextCaller) {
  EXPECT_FALSE(parse_certificate("nonsense"));
  EXPECT_FALSE(verify({}, {}, {}));
  EXPECT_FALSE(PrivateKey::from_pem("nonsense"));
  EXPECT_EQ(ERR_peek_error(), 0u);
}

TEST(Wireguard, PublicKeysAreX25519) {
  // RFC 7748, section 6.1: Alice.
  WireguardKey key;
  const auto bytes = *from_hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
  std::ranges::copy(bytes, key.begin());
  EXPECT_EQ(to_hex(wireguard_public(key)),
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
}

TEST(Wireguard, GeneratedKeysAreClamped) {
  const auto key = wireguard_generate();
  EXPECT_EQ(key[0] & 7, 0);
  EXPECT_EQ(key[31] & 0xc0, 0x40);
  EXPECT_NE(key, wireguard_generate());
}

}  // namespace
}  // namespace cordon::crypto
