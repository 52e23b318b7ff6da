#include "node/link/verify.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <memory>

namespace cordon::node {
namespace {

constexpr std::size_t kMaxChain = 8;
constexpr std::size_t kMaxRoots = 32;

struct Free {
  void operator()(BIO* p) const { BIO_free(p); }
  void operator()(X509* p) const { X509_free(p); }
  void operator()(X509_STORE* p) const { X509_STORE_free(p); }
  void operator()(X509_STORE_CTX* p) const { X509_STORE_CTX_free(p); }
  // The stack borrows: its certificates belong to the vector they came from.
  void operator()(STACK_OF(X509) * p) const { sk_X509_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;
using Certificates = std::vector<Owned<X509>>;

Certificates read_pem(std::string_view pem, std::size_t most) {
  Certificates out;
  if (pem.size() > (1u << 20)) return out;
  const Owned<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  while (bio && out.size() < most) {
    Owned<X509> certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (!certificate) break;
    out.push_back(std::move(certificate));
  }
  ERR_clear_error();  // the end of the text is reported as an error
  return out;
}

std::string to_pem(X509* certificate) {
  const Owned<BIO> bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_X509(bio.get(), certificate) != 1) return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

Result<> verify(const Certificates& chain, const Certificates& roots, Timestamp now) {
  const Owned<X509_STORE> store(X509_STORE_new());
  const Owned<X509_STORE_CTX> context(X509_STORE_CTX_new());
  const Owned<STACK_OF(X509)> untrusted(sk_X509_new_null());
  if (!store || !context || !untrusted) return fail(ErrorCode::internal, "no memory to check a certificate");
  for (const auto& root : roots) X509_STORE_add_cert(store.get(), root.get());
  for (std::size_t i = 1; i < chain.size(); ++i) sk_X509_push(untrusted.get(), chain[i].get());
  if (X509_STORE_CTX_init(context.get(), store.get(), chain.front().get(), untrusted.get()) != 1)
    return fail(ErrorCode::internal, "can't check a certificate");
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count();
  X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(context.get()), static_cast<time_t>(seconds));
  const int verdict = X509_verify_cert(context.get());
  ERR_clear_error();
  if (verdict == 1) return {};
  const int reason = X509_STORE_CTX_get_error(context.get());
  return fail(ErrorCode::unauthorized,
              std::string("the certificate is not trusted: ") + X509_verify_cert_error_string(reason),
              "check this host's clock; if the controller's root was replaced, enrol this device again");
}

Sha256 fingerprint_of(X509* certificate) {
  Sha256 digest{};
  unsigned size = digest.size();
  X509_digest(certificate, EVP_sha256(), digest.data(), &size);
  return digest;
}

}  // namespace

Result<crypto::CertificateInfo> verify_chain(std::string_view chain_pem, std::string_view roots_pem,
                                             Timestamp now) {
  const Certificates chain = read_pem(chain_pem, kMaxChain);
  const Certificates roots = read_pem(roots_pem, kMaxRoots);
  if (chain.empty()) return fail(ErrorCode::protocol, "no certificate was presented");
  if (roots.empty())
    return fail(ErrorCode::unauthorized, "there are no roots to trust", "enrol this device again");
  CORDON_TRY(verify(chain, roots, now));
  return crypto::parse_certificate(to_pem(chain.front().get()));
}

std::string trust_domain(const crypto::CertificateInfo& certificate, std::string_view kind) {
  constexpr std::string_view kScheme = "spiffe://";
  for (const std::string_view uri : certificate.uris) {
    if (!uri.starts_with(kScheme)) continue;
    const auto slash = uri.find('/', kScheme.size());
    if (slash == std::string_view::npos || slash == kScheme.size()) continue;
    const std::string_view path = uri.substr(slash + 1);
    if (path.size() > kind.size() + 1 && path.starts_with(kind) && path[kind.size()] == '/')
      return std::string(uri.substr(kScheme.size(), slash - kScheme.size()));
  }
  return {};
}

Result<> require_controller(const crypto::CertificateInfo& certificate, std::string_view domain) {
  const std::string found = trust_domain(certificate, "controller");
  if (!found.empty() && found == domain) return {};
  return fail(
      ErrorCode::forbidden,
      "the certificate \"" + certificate.common_name + "\" is not a controller's of " + std::string(domain),
      "check the addresses under `controllers` in node.toml");
}

Result<std::string> pinned_root(const std::vector<Bytes>& chain_der, const Sha256& fingerprint,
                                Timestamp now) {
  Certificates chain;
  for (const Bytes& der : chain_der) {
    if (chain.size() == kMaxChain) break;
    const unsigned char* data = der.data();
    Owned<X509> certificate(d2i_X509(nullptr, &data, static_cast<long>(der.size())));
    if (!certificate) return fail(ErrorCode::protocol, "the controller presented a malformed certificate");
    chain.push_back(std::move(certificate));
  }
  Certificates roots;
  for (const auto& certificate : chain) {
    if (!equal_in_constant_time(fingerprint_of(certificate.get()), fingerprint)) continue;
    X509_up_ref(certificate.get());
    roots.emplace_back(certificate.get());
    break;
  }
  if (roots.empty())
    return fail(
        ErrorCode::unauthorized, "the controller does not present the root that the token names",
        "check the controller's address; if it is right, ask for a new token there: nothing was sent");
  CORDON_TRY(verify(chain, roots, now));
  CORDON_ASSIGN(const auto leaf, crypto::parse_certificate(to_pem(chain.front().get())));
  if (trust_domain(leaf, "controller").empty())
    return fail(ErrorCode::unauthorized, "what answered is no controller: nothing was sent",
                "check the controller's address");
  return to_pem(roots.front().get());
}

}  // namespace cordon::node
