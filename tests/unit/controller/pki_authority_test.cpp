#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

#include <memory>

#include "controller/pki/authority.h"
#include "controller/pki/csr.h"
#include "tests/support/log_fixture.h"
#include "tests/support/temp_dir.h"

namespace cordon::controller {
namespace pki_authority_test {

using namespace test;

struct FreeX509 {
  void operator()(X509* one) const { X509_free(one); }
  void operator()(X509_STORE* one) const { X509_STORE_free(one); }
  void operator()(X509_STORE_CTX* one) const { X509_STORE_CTX_free(one); }
  void operator()(STACK_OF(X509) * one) const { sk_X509_free(one); }
  void operator()(BIO* one) const { BIO_free(one); }
};
template <class T>
using Held = std::unique_ptr<T, FreeX509>;

/// All certificates of a PEM text.
std::vector<Held<X509>> read_all(const std::string& pem) {
  std::vector<Held<X509>> all;
  const Held<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  while (X509* one = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) all.emplace_back(one);
  return all;
}

/// OpenSSL's verdict on a chain (leaf first) as a TLS client's certificate at that time.
int verdict(const std::string& chain_pem, const std::string& root_pem, Timestamp at) {
  const Held<X509_STORE> store(X509_STORE_new());
  const auto roots = read_all(root_pem), chain = read_all(chain_pem);
  for (const auto& root : roots) X509_STORE_add_cert(store.get(), root.get());
  const Held<STACK_OF(X509)> rest(sk_X509_new_null());
  for (std::size_t i = 1; i < chain.size(); ++i) sk_X509_push(rest.get(), chain[i].get());
  const Held<X509_STORE_CTX> context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), chain.at(0).get(), rest.get());
  X509_STORE_CTX_set_default(context.get(), "ssl_client");
  X509_STORE_CTX_set_time(context.get(), 0, to_us(at) / 1'000'000);
  X509_verify_cert(context.get());
  return X509_STORE_CTX_get_error(context.get());
}

class AuthorityTest : public testing::Test {
 protected:
  std::unique_ptr<Authority> open(Timestamp now = kStart) {
    return must(open_authority(config_, *secrets_, now));
  }
  std::string issue(Authority& authority, const std::string& name = "ledger") {
    return must(authority.issue_device(must(crypto::make_csr(key_, "anything")), DeviceId(name), kStart));
  }
  TempDir dir_;
  std::unique_ptr<SecretStore> secrets_ = must(open_secret_store(dir_ / "secrets.db", dir_ / "data.key"));
  crypto::PrivateKey key_ = must(crypto::PrivateKey::generate());
  AuthorityConfig config_{.trust_domain = "acme.example",
                          .controller_name = "c1",
                          .dns_names = {"controller.acme.example"},
                          .ip_addresses = {"198.51.100.1"}};
};

TEST_F(AuthorityTest, DeviceCertificatesLeadToTheRootForADay) {
  const auto authority = open();
  const std::string chain = issue(*authority);
  EXPECT_EQ(verdict(chain, authority->trust_bundle_pem(), kStart), X509_V_OK);
  EXPECT_EQ(verdict(chain, authority->trust_bundle_pem(), kStart + std::chrono::hours(25)),
            X509_V_ERR_CERT_HAS_EXPIRED);
  const auto info = must(crypto::parse_certificate(chain));
  EXPECT_EQ(info.uris, std::vector<std::string>{"spiffe://acme.example/device/ledger"});
  EXPECT_EQ(info.public_key_der, key_.public_key_der());
  EXPECT_FALSE(info.is_ca);
}

TEST_F(AuthorityTest, AnotherAuthoritysRootDoesNotVerifyThem) {
  const auto authority = open();
  TempDir other_dir;
  const auto other_secrets = must(open_secret_store(other_dir / "secrets.db", other_dir / "data.key"));
  const auto other = must(open_authority(config_, *other_secrets, kStart));
  EXPECT_NE(verdict(issue(*authority), other->trust_bundle_pem(), kStart), X509_V_OK);
  EXPECT_NE(authority->root_fingerprint(), other->root_fingerprint());
}

TEST_F(AuthorityTest, ADeviceCertificateCannotSignOthers) {
  const auto authority = open();
  const std::string chain = issue(*authority);
  const crypto::CertificateSpec spec{.common_name = "forged",
                                     .uris = {"spiffe://acme.example/device/other"},
                                     .not_before = kStart - Seconds(60),
                                     .not_after = kStart + Seconds(3600),
                                     .client_auth = true};
  const auto forged = crypto::issue(must(crypto::PrivateKey::generate()), spec, key_, chain);
  if (!forged) return;
  EXPECT_NE(verdict(*forged + chain, authority->trust_bundle_pem(), kStart), X509_V_OK);
}

TEST_F(AuthorityTest, IsTheSameAfterARestart) {
  const auto first = open();
  const auto second = open(kStart + Seconds(60));
  EXPECT_EQ(first->root_fingerprint(), second->root_fingerprint());
  EXPECT_EQ(first->server_chain_pem(), second->server_chain_pem());
  EXPECT_EQ(first->server_key().public_key_der(), second->server_key().public_key_der());
}

TEST_F(AuthorityTest, TheServerCertificateNamesTheControllerAndFollowsTheConfiguration) {
  const auto first = open();
  const auto info = must(crypto::parse_certificate(first->server_chain_pem()));
  EXPECT_EQ(info.uris, std::vector<std::string>{"spiffe://acme.example/controller/c1"});
  EXPECT_EQ(verdict(first->server_chain_pem(), first->trust_bundle_pem(), kStart), X509_V_OK);
  config_.dns_names.push_back("second.acme.example");
  EXPECT_NE(open()->server_chain_pem(), first->server_chain_pem());
}

TEST_F(AuthorityTest, RenewsTheServerAtHalfItsLifeAndTheIntermediateInTime) {
  const auto authority = open();
  const std::string before = authority->server_chain_pem();
  EXPECT_FALSE(must(authority->renew_server(kStart + std::chrono::days(40))));
  EXPECT_TRUE(must(authority->renew_server(kStart + std::chrono::days(46))));
  EXPECT_NE(authority->server_chain_pem(), before);
  const Timestamp later = kStart + std::chrono::days(200);
  EXPECT_TRUE(must(authority->renew_server(later)));
  EXPECT_EQ(
      verdict(authority->server_chain_pem(), authority->trust_bundle_pem(), later + std::chrono::days(80)),
      X509_V_OK);
}

TEST_F(AuthorityTest, RequestsMustBeSignedWithTheirP256Key) {
  const std::string csr = must(crypto::make_csr(key_, "x"));
  EXPECT_EQ(must(csr_public_key(csr)), key_.public_key_der());
  std::string broken = csr;
  broken[broken.size() / 2] = broken[broken.size() / 2] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(csr_public_key(broken));
  EXPECT_FALSE(csr_public_key(""));
  EXPECT_FALSE(csr_public_key(std::string(100'000, 'x')));
}

}  // namespace pki_authority_test
}  // namespace cordon::controller
