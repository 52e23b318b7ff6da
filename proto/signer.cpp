#include "proto/signer.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <memory>

#include "base/crypto.h"
#include "proto/receipt.h"

namespace cordon::wire {

namespace {

struct Free {
  void operator()(BIO* p) const { BIO_free(p); }
  void operator()(X509* p) const { X509_free(p); }
  void operator()(STACK_OF(X509) * p) const { sk_X509_pop_free(p, X509_free); }
  void operator()(X509_STORE* p) const { X509_STORE_free(p); }
  void operator()(X509_STORE_CTX* p) const { X509_STORE_CTX_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;
using Certificates = Owned<STACK_OF(X509)>;

constexpr std::size_t kMaxPemBytes = 256 * 1024;

int no_password(char*, int, int, void*) {
  return 0;
}

/// All certificates of a PEM text, in order; what stands between them is passed over.
Result<Certificates> read_all(std::string_view pem, std::string_view what) {
  if (pem.size() > kMaxPemBytes) return fail(ErrorCode::invalid, fmt::format("{} is too long", what));
  const Owned<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Certificates all(sk_X509_new_null());
  if (!bio || !all) return fail(ErrorCode::internal, "no memory for certificates");
  while (auto* certificate = PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr)) {
    sk_X509_push(all.get(), certificate);
  }
  ERR_clear_error();  // reading ends with "no start line"
  if (sk_X509_num(all.get()) == 0)
    return fail(ErrorCode::invalid, fmt::format("{} holds no certificate", what));
  return all;
}

Timestamp time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return Timestamp{};
  return Timestamp(std::chrono::seconds(timegm(&parts)));
}

Result<std::string> controller_name(std::string_view leaf_pem) {
  CORDON_ASSIGN(const auto info, crypto::parse_certificate(leaf_pem));
  for (const auto& uri : info.uris) {
    if (uri.starts_with("spiffe://") && uri.find("/controller/") != std::string::npos) return uri;
  }
  return fail(ErrorCode::forbidden, fmt::format("the signer \"{}\" isn't a controller", info.common_name));
}

}  // namespace

Result<Signer> verify_signer(std::string_view chain_pem, std::string_view roots_pem, Timestamp at) {
  CORDON_ASSIGN(const auto chain, read_all(chain_pem, "the signer's chain"));
  CORDON_ASSIGN(const auto roots, read_all(roots_pem, "the trust bundle"));
  CORDON_ASSIGN(auto name, controller_name(chain_pem));

  const Owned<X509_STORE> store(X509_STORE_new());
  const Owned<X509_STORE_CTX> context(X509_STORE_CTX_new());
  for (int i = 0; i < sk_X509_num(roots.get()); ++i)
    X509_STORE_add_cert(store.get(), sk_X509_value(roots.get(), i));
  auto* leaf = sk_X509_value(chain.get(), 0);
  if (X509_STORE_CTX_init(context.get(), store.get(), leaf, chain.get()) != 1) {
    return fail(ErrorCode::internal, "no memory to verify certificates");
  }
  auto* parameters = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(parameters, static_cast<time_t>(to_us(at) / 1'000'000));
  X509_VERIFY_PARAM_set_purpose(parameters, X509_PURPOSE_SSL_SERVER);
  if (X509_verify_cert(context.get()) != 1) {
    const int error = X509_STORE_CTX_get_error(context.get());
    ERR_clear_error();
    return fail(ErrorCode::unauthorized,
                fmt::format("the signer's certificate doesn't lead to a trusted root: {}",
                            X509_verify_cert_error_string(error)),
                "give the trust bundle of the installation that wrote the log");
  }

  Signer signer{.name = std::move(name), .not_before = Timestamp::min(), .not_after = kNever};
  const auto* verified = X509_STORE_CTX_get0_chain(context.get());
  for (int i = 0; i < sk_X509_num(verified); ++i) {
    const auto* certificate = sk_X509_value(verified, i);
    signer.not_before = std::max(signer.not_before, time_of(X509_get0_notBefore(certificate)));
    signer.not_after = std::min(signer.not_after, time_of(X509_get0_notAfter(certificate)));
  }
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &der);
  if (size <= 0) return fail(ErrorCode::invalid, "the signer's key can't be read");
  signer.public_key_der.assign(der, der + size);
  OPENSSL_free(der);
  return signer;
}

Result<> HeadVerifier::verify(const LogHead& head, Timestamp at) {
  auto known = signers_.find(head.signer_pem);
  if (known == signers_.end() || at < known->second.not_before || at > known->second.not_after) {
    CORDON_ASSIGN(auto signer, verify_signer(head.signer_pem, roots_pem_, at));
    known = signers_.insert_or_assign(head.signer_pem, std::move(signer)).first;
  }
  if (!crypto::verify(known->second.public_key_der, head_text(head.revision, head.hash), head.signature)) {
    return fail(ErrorCode::unauthorized,
                fmt::format("the signature of head {} doesn't hold", head.revision.value));
  }
  return {};
}

}  // namespace cordon::wire
