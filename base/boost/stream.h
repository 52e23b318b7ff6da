#pragma once
// A connection of bytes, over TLS or not, behind one small interface: what talks over it is compiled without
// the templates of what it runs over, which take longer to compile than anything else here.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <chrono>
#include <memory>
#include <span>
#include <string_view>

namespace cordon {

/// Of TCP or of a UNIX socket: sockets of both kinds convert to it.
using StreamSocket = boost::asio::generic::stream_protocol::socket;
using StreamAcceptor = boost::asio::basic_socket_acceptor<boost::asio::generic::stream_protocol>;

/// One operation at a time, all of them and close() on the executor (a strand, where there are threads). Held
/// by shared_ptr; an operation's caller holds it until the operation is done.
class ByteStream {
 public:
  using ErrorCode = boost::system::error_code;
  struct Taken {
    ErrorCode error;
    std::size_t bytes = 0;
  };

  virtual ~ByteStream() = default;
  virtual boost::asio::any_io_executor executor() = 0;
  /// The operations that follow end by then: what is under way is given up as `timed_out` and the connection
  /// closed. No time passes for a connection on which nothing is under way.
  virtual void expires_after(std::chrono::steady_clock::duration limit) = 0;
  virtual boost::asio::awaitable<ErrorCode> connect(
      const boost::asio::generic::stream_protocol::endpoint& to) = 0;
  /// TLS; nothing at all on a plain connection.
  virtual boost::asio::awaitable<ErrorCode> handshake() = 0;
  /// At least one byte, or an error (`eof` at the end).
  virtual boost::asio::awaitable<Taken> read_some(std::span<char> into) = 0;
  /// All of it.
  virtual boost::asio::awaitable<ErrorCode> write(std::string_view bytes) = 0;
  /// Says that there is no more to come: the other side can tell a whole answer from a cut one.
  virtual boost::asio::awaitable<ErrorCode> finish() = 0;
  virtual void close() = 0;
};

std::shared_ptr<ByteStream> plain_stream(StreamSocket socket);
std::shared_ptr<ByteStream> tls_server_stream(StreamSocket socket,
                                              std::shared_ptr<boost::asio::ssl::context> context);
/// The server's certificate must lead to an authority in `context` and name `host`.
std::shared_ptr<ByteStream> tls_client_stream(StreamSocket socket,
                                              std::shared_ptr<boost::asio::ssl::context> context,
                                              const std::string& host);

}  // namespace cordon
