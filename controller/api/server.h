#pragma once
// Inside of the API's server; includes Beast, so only its own sources include it.

#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <memory>

#include "base/result.h"
#include "controller/api/connections.h"
#include "controller/api/router.h"
#include "controller/core/services.h"

namespace cordon::controller::api {

namespace asio = boost::asio;

inline constexpr std::size_t kMaxBodyBytes = 8u << 20;
inline constexpr std::size_t kMaxHeaderBytes = 16u << 10;
inline constexpr std::size_t kMaxHttpsConnections = 256;
inline constexpr std::size_t kMaxLocalConnections = 64;
inline constexpr Seconds kIdleTimeout{60};      ///< for the next request's head, and for a TLS handshake
inline constexpr Seconds kTransferTimeout{60};  ///< for a body or an answer

/// What listeners and connections share.
struct Server {
  explicit Server(Services& services) : services(services), router(services) {}
  Services& services;
  Router router;
};

class Listener {
 public:
  virtual ~Listener() = default;
  virtual void stop() = 0;  ///< from any thread
  virtual std::uint16_t port() const { return 0; }
  virtual Result<> reload() { return {}; }
};

/// `invalid` for a certificate or key that can't be used, `io` when the address can't be had.
Result<std::shared_ptr<Listener>> listen_https(std::shared_ptr<Server> server);
/// 0600 from its first moment; a socket file that nobody listens on is replaced.
Result<std::shared_ptr<Listener>> listen_local(std::shared_ptr<Server> server);

using TcpStream = boost::beast::basic_stream<asio::ip::tcp, asio::any_io_executor>;
using LocalStream = boost::beast::basic_stream<asio::local::stream_protocol, asio::any_io_executor>;

/// Takes connections until `acceptor` is closed. `start` gets each socket, which has a strand of its own.
template <class Protocol, class Start>
asio::awaitable<void> accept_loop(std::shared_ptr<Server> server,
                                  std::shared_ptr<asio::basic_socket_acceptor<Protocol>> acceptor,
                                  Start start) {
  while (acceptor->is_open()) {
    typename Protocol::socket socket(asio::make_strand(server->services.io));
    boost::system::error_code error;
    co_await acceptor->async_accept(socket, asio::redirect_error(asio::use_awaitable, error));
    if (error == asio::error::operation_aborted || error == asio::error::bad_descriptor) co_return;
    if (error) {  // out of descriptors, most likely: others must end first
      asio::steady_timer pause(acceptor->get_executor(), std::chrono::milliseconds(100));
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
      continue;
    }
    start(std::move(socket));
  }
}

}  // namespace cordon::controller::api
