#pragma once
// TLS contexts of a node: 1.3 only, ALPN cordon/1. Inside node/link alone: Asio is heavy.

#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/result.h"

namespace cordon::node {

/// What a node shows and whom it believes.
struct Credentials {
  std::string certificate_pem;  ///< leaf, then intermediate
  crypto::PrivateKey key;
  std::string roots_pem;
};

using TlsContext = std::shared_ptr<boost::asio::ssl::context>;

/// Mutual: the handshake fails unless the server's chain leads to the roots. Its name is the caller's to
/// check.
Result<TlsContext> mutual_context(const Credentials& credentials);
/// For enrolment: no certificate of ours, and no trust yet. The caller pins the presented chain before it
/// sends.
Result<TlsContext> pinning_context();
/// As `mutual_context`, without a certificate of ours: a pending device has none.
Result<TlsContext> anonymous_context(const std::string& roots_pem);

/// After a handshake: the presented chain, leaf first; and whether cordon/1 was agreed.
std::vector<Bytes> presented_chain(SSL* ssl);
std::string presented_leaf_pem(SSL* ssl);
bool agreed_on_protocol(SSL* ssl);

}  // namespace cordon::node
