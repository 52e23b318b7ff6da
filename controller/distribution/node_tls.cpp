#include "controller/distribution/node_tls.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "controller/pki/authority.h"
#include "proto/frame.h"

namespace cordon::controller {

namespace {

int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_length, const unsigned char* offered,
                    unsigned offered_length, void*) {
  for (unsigned at = 0; at < offered_length;) {
    const unsigned length = offered[at++];
    if (length > offered_length - at) break;
    if (std::string_view(reinterpret_cast<const char*>(offered + at), length) == wire::kAlpn) {
      *out = offered + at;
      *out_length = static_cast<unsigned char>(length);
      return SSL_TLSEXT_ERR_OK;
    }
    at += length;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/// TLS has no way to say "expired, but let me renew", so the date of the leaf is left to the hub.
int verify(int good, X509_STORE_CTX* store) {
  if (good == 1) return 1;
  const bool leaf_expired = X509_STORE_CTX_get_error(store) == X509_V_ERR_CERT_HAS_EXPIRED &&
                            X509_STORE_CTX_get_error_depth(store) == 0;
  if (leaf_expired) X509_STORE_CTX_set_error(store, X509_V_OK);
  return leaf_expired ? 1 : 0;
}

}  // namespace

Result<std::shared_ptr<boost::asio::ssl::context>> make_node_tls(const Authority& authority) {
  namespace ssl = boost::asio::ssl;
  try {
    auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
    SSL_CTX* native = context->native_handle();
    SSL_CTX_set_min_proto_version(native, TLS1_3_VERSION);
    SSL_CTX_set_options(native, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_num_tickets(native, 0);
    SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(native, choose_protocol, nullptr);
    // The root goes along: a join token pins its fingerprint, and a machine that enrols has nothing else to
    // check.
    const std::string chain = authority.server_chain_pem() + authority.trust_bundle_pem();
    context->use_certificate_chain(boost::asio::buffer(chain));
    context->use_private_key(boost::asio::buffer(authority.server_key().to_pem()), ssl::context::pem);
    context->add_certificate_authority(boost::asio::buffer(authority.trust_bundle_pem()));
    SSL_CTX_set_verify(native, SSL_VERIFY_PEER, verify);
    SSL_CTX_set_verify_depth(native, 2);
    return context;
  } catch (const std::exception& error) {
    return fail(ErrorCode::internal, std::string("can't set up TLS: ") + error.what());
  }
}

std::string peer_certificate_pem(SSL* ssl) {
  X509* certificate = SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr || SSL_get_verify_result(ssl) != X509_V_OK) return {};
  const std::unique_ptr<BIO, int (*)(BIO*)> bio(BIO_new(BIO_s_mem()), BIO_free);
  if (!bio || PEM_write_bio_X509(bio.get(), certificate) != 1) return {};
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(length)};
}

}  // namespace cordon::controller
