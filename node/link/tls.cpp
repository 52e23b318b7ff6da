#include "node/link/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "proto/frame.h"

namespace cordon::node {
namespace {

namespace ssl = boost::asio::ssl;

Error tls_error(std::string what) {
  std::array<char, 256> text{};
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return {.code = ErrorCode::internal, .what = std::move(what)};
  ERR_error_string_n(code, text.data(), text.size());
  return {.code = ErrorCode::internal, .what = std::move(what) + ": " + text.data()};
}

Result<TlsContext> bare_context() {
  try {
    auto context = std::make_shared<ssl::context>(ssl::context::tls_client);
    std::string alpn(1, static_cast<char>(wire::kAlpn.size()));
    alpn += wire::kAlpn;
    SSL_CTX* native = context->native_handle();
    if (SSL_CTX_set_min_proto_version(native, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_alpn_protos(native, reinterpret_cast<const unsigned char*>(alpn.data()),
                                static_cast<unsigned>(alpn.size())) != 0)
      return std::unexpected(tls_error("can't set up TLS 1.3"));
    return context;
  } catch (const std::exception& e) {
    return fail(ErrorCode::internal, std::string("can't set up TLS: ") + e.what());
  }
}

Result<> trust_roots(ssl::context& context, const std::string& roots_pem) {
  X509_STORE* store = SSL_CTX_get_cert_store(context.native_handle());
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(
      BIO_new_mem_buf(roots_pem.data(), static_cast<int>(roots_pem.size())), &BIO_free);
  std::size_t added = 0;
  while (bio) {
    const std::unique_ptr<X509, decltype(&X509_free)> root(
        PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), &X509_free);
    if (!root) break;
    if (X509_STORE_add_cert(store, root.get()) == 1) ++added;
  }
  ERR_clear_error();
  if (added == 0)
    return fail(ErrorCode::invalid, "the trust bundle holds no root certificate",
                "restore trust.pem or enrol again");
  context.set_verify_mode(ssl::verify_peer);
  return {};
}

}  // namespace

Result<TlsContext> mutual_context(const Credentials& credentials) {
  CORDON_ASSIGN(auto context, bare_context());
  CORDON_TRY(trust_roots(*context, credentials.roots_pem));
  boost::system::error_code ec;
  context->use_certificate_chain(boost::asio::buffer(credentials.certificate_pem), ec);
  if (ec)
    return fail(ErrorCode::invalid, "this device's certificate can't be read: " + ec.message(),
                "enrol again");
  const std::string key = credentials.key.to_pem();
  context->use_private_key(boost::asio::buffer(key), ssl::context::pem, ec);
  if (ec)
    return fail(ErrorCode::invalid, "this device's key doesn't fit its certificate: " + ec.message(),
                "enrol again");
  return context;
}

Result<TlsContext> pinning_context() {
  CORDON_ASSIGN(auto context, bare_context());
  // Who answers is checked against the token's fingerprint after the handshake, which proves that the other
  // side holds the key of the chain it presents; nothing is sent before that.
  context->set_verify_mode(ssl::verify_none);
  return context;
}

Result<TlsContext> anonymous_context(const std::string& roots_pem) {
  CORDON_ASSIGN(auto context, bare_context());
  CORDON_TRY(trust_roots(*context, roots_pem));
  return context;
}

std::vector<Bytes> presented_chain(SSL* ssl) {
  std::vector<Bytes> out;
  const STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl);
  for (int i = 0; chain != nullptr && i < sk_X509_num(chain); ++i) {
    X509* certificate = sk_X509_value(chain, i);
    Bytes der(static_cast<std::size_t>(std::max(0, i2d_X509(certificate, nullptr))));
    unsigned char* data = der.data();
    if (!der.empty() && i2d_X509(certificate, &data) > 0) out.push_back(std::move(der));
  }
  return out;
}

std::string presented_leaf_pem(SSL* ssl) {
  const std::unique_ptr<X509, decltype(&X509_free)> leaf(SSL_get1_peer_certificate(ssl), &X509_free);
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), &BIO_free);
  if (!leaf || !bio || PEM_write_bio_X509(bio.get(), leaf.get()) != 1) return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

bool agreed_on_protocol(SSL* ssl) {
  const unsigned char* data = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl, &data, &size);
  return std::string_view(reinterpret_cast<const char*>(data), size) == wire::kAlpn;
}

}  // namespace cordon::node
