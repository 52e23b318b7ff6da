#pragma once
// TLS as the node listener speaks it: 1.3 only, ALPN cordon/1, client certificates asked for and verified, no
// tickets (every session proves itself anew).

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "base/result.h"

namespace cordon::controller {

class Authority;

Result<std::shared_ptr<boost::asio::ssl::context>> make_node_tls(const Authority& authority);

/// The certificate that the peer presented and that was verified; "" when it presented none. An expired leaf
/// passes here: it serves for renewal, and the caller looks at the dates.
std::string peer_certificate_pem(SSL* ssl);

}  // namespace cordon::controller
