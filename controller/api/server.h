#pragma once
// Inside of the API's server; includes Asio, so only its own sources include it.

#include <functional>
#include <memory>

#include "base/boost/stream.h"
#include "base/result.h"
#include "controller/api/connections.h"
#include "controller/api/router.h"
#include "controller/core/services.h"

namespace cordon::controller::api {

namespace asio = boost::asio;

/// A whole policy (kMaxPolicyBytes), of which JSON may escape every character.
inline constexpr std::size_t kMaxBodyBytes = 17u << 20;
inline constexpr std::size_t kMaxHeaderBytes = 16u << 10;
inline constexpr std::size_t kMaxHttpsConnections = 256;
inline constexpr std::size_t kMaxLocalConnections = 64;
inline constexpr Seconds kIdleTimeout{60};      ///< for the next request's head, and for a TLS handshake
inline constexpr Seconds kTransferTimeout{60};  ///< for a body or an answer
inline constexpr Seconds kFarewellTimeout{5};   ///< for the end of TLS

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

/// Takes connections until `acceptor` is closed. `start` gets each socket, which has a strand of its own.
asio::awaitable<void> accept_loop(std::shared_ptr<Server> server, std::shared_ptr<StreamAcceptor> acceptor,
                                  std::function<void(StreamSocket)> start);
/// Serves a connection to its end; when `connections` are at their limit it is closed and counted.
void begin(const std::shared_ptr<Server>& server, Connections& connections,
           std::shared_ptr<ByteStream> stream, Peer peer);

}  // namespace cordon::controller::api
