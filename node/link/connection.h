#pragma once
// One TLS connection that carries frames. Inside node/link alone: Asio and protobuf are heavy.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <memory>
#include <string>

#include "base/address.h"
#include "base/result.h"
#include "node/link/tls.h"
#include "proto/cordon.pb.h"
#include "proto/frame.h"

namespace cordon::node {

/// Everything awaited here has a time limit, after which the socket is closed and the error says so. Reads
/// and writes may overlap; there is one reader. All on the io_context's one thread.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Duration = std::chrono::milliseconds;

  Connection(boost::asio::io_context& io, TlsContext context);

  /// TCP and the TLS handshake; `protocol` when the other side doesn't speak cordon/1.
  boost::asio::awaitable<Result<>> open(Endpoint to, Duration limit);
  /// The next message; bytes that are none end the connection.
  boost::asio::awaitable<Result<wire::ToNode>> read(Duration limit);
  /// Queues a message. False: it is too large or too much waits; the connection is closed then.
  bool send(const wire::ToController& message);
  void close();
  bool closed() const { return closed_; }

  SSL* native() { return stream_.native_handle(); }

 private:
  void write_next();
  void arm(boost::asio::steady_timer& timer, Duration limit);

  TlsContext context_;  // outlives stream_
  boost::asio::ssl::stream<boost::asio::ip::tcp::socket> stream_;
  boost::asio::steady_timer read_limit_, write_limit_;
  wire::FrameReader frames_;
  std::deque<std::string> waiting_;
  std::size_t waiting_bytes_ = 0;
  bool writing_ = false;
  bool closed_ = false;
  bool timed_out_ = false;
};

}  // namespace cordon::node
