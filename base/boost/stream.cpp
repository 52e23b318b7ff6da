#include "base/boost/stream.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <string>

namespace cordon {
namespace {

namespace asio = boost::asio;
using Code = boost::system::error_code;
using Clock = std::chrono::steady_clock;
using TlsLayer = asio::ssl::stream<StreamSocket>;

/// The socket and the clock that closes it, under either kind of stream.
class Timed : public ByteStream, public std::enable_shared_from_this<Timed> {
 public:
  explicit Timed(const asio::any_io_executor& executor) : timer_(executor) {}

  asio::any_io_executor executor() override { return socket().get_executor(); }
  void expires_after(Clock::duration limit) override { deadline_ = Clock::now() + limit; }
  void close() override {
    Code ignored;
    socket().close(ignored);
  }
  asio::awaitable<ErrorCode> connect(const asio::generic::stream_protocol::endpoint& to) override {
    Code error;
    begin();
    co_await socket().async_connect(to, asio::redirect_error(asio::use_awaitable, error));
    co_return end(error);
  }
  asio::awaitable<ErrorCode> write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const Taken taken = co_await write_some(bytes);
      if (taken.error) co_return taken.error;
      bytes.remove_prefix(taken.bytes);
    }
    co_return ErrorCode{};
  }

 protected:
  virtual StreamSocket& socket() = 0;
  virtual asio::awaitable<Taken> write_some(std::string_view bytes) = 0;

  void begin() {
    timed_out_ = false;
    timer_.expires_at(deadline_);
    timer_.async_wait([weak = weak_from_this(), operation = ++operation_](const Code& error) {
      const auto self = weak.lock();
      // What fires late, for an operation that is over, must not end the next one.
      if (error || !self || self->operation_ != operation) return;
      self->timed_out_ = true;
      self->close();
    });
  }
  Code end(const Code& error) {
    ++operation_;
    timer_.cancel();
    return error && timed_out_ ? make_error_code(boost::system::errc::timed_out) : error;
  }

 private:
  asio::steady_timer timer_;
  Clock::time_point deadline_ = Clock::time_point::max();
  std::uint64_t operation_ = 0;
  bool timed_out_ = false;
};

class Plain final : public Timed {
 public:
  explicit Plain(StreamSocket socket) : Timed(socket.get_executor()), socket_(std::move(socket)) {}

  asio::awaitable<ErrorCode> handshake() override { co_return ErrorCode{}; }
  asio::awaitable<Taken> read_some(std::span<char> into) override {
    Code error;
    begin();
    const std::size_t size = co_await socket_.async_read_some(
        asio::buffer(into.data(), into.size()), asio::redirect_error(asio::use_awaitable, error));
    co_return Taken{end(error), size};
  }
  asio::awaitable<ErrorCode> finish() override {
    Code error;
    socket_.shutdown(asio::socket_base::shutdown_send, error);
    co_return error;
  }

 private:
  StreamSocket& socket() override { return socket_; }
  asio::awaitable<Taken> write_some(std::string_view bytes) override {
    Code error;
    begin();
    const std::size_t size = co_await socket_.async_write_some(
        asio::buffer(bytes.data(), bytes.size()), asio::redirect_error(asio::use_awaitable, error));
    co_return Taken{end(error), size};
  }

  StreamSocket socket_;
};

class Tls final : public Timed {
 public:
  Tls(StreamSocket socket, std::shared_ptr<asio::ssl::context> context, TlsLayer::handshake_type side)
      : Timed(socket.get_executor()),
        context_(std::move(context)),
        stream_(std::move(socket), *context_),
        side_(side) {}

  TlsLayer& layer() { return stream_; }

  asio::awaitable<ErrorCode> handshake() override {
    Code error;
    begin();
    co_await stream_.async_handshake(side_, asio::redirect_error(asio::use_awaitable, error));
    co_return end(error);
  }
  asio::awaitable<Taken> read_some(std::span<char> into) override {
    Code error;
    begin();
    const std::size_t size = co_await stream_.async_read_some(
        asio::buffer(into.data(), into.size()), asio::redirect_error(asio::use_awaitable, error));
    co_return Taken{end(error), size};
  }
  asio::awaitable<ErrorCode> finish() override {
    Code error;
    begin();
    co_await stream_.async_shutdown(asio::redirect_error(asio::use_awaitable, error));
    co_return end(error);
  }

 private:
  StreamSocket& socket() override { return stream_.next_layer(); }
  asio::awaitable<Taken> write_some(std::string_view bytes) override {
    Code error;
    begin();
    const std::size_t size = co_await stream_.async_write_some(
        asio::buffer(bytes.data(), bytes.size()), asio::redirect_error(asio::use_awaitable, error));
    co_return Taken{end(error), size};
  }

  std::shared_ptr<asio::ssl::context> context_;  // outlives stream_
  TlsLayer stream_;
  TlsLayer::handshake_type side_;
};

}  // namespace

std::shared_ptr<ByteStream> plain_stream(StreamSocket socket) {
  return std::make_shared<Plain>(std::move(socket));
}

std::shared_ptr<ByteStream> tls_server_stream(StreamSocket socket,
                                              std::shared_ptr<asio::ssl::context> context) {
  return std::make_shared<Tls>(std::move(socket), std::move(context), TlsLayer::server);
}

std::shared_ptr<ByteStream> tls_client_stream(StreamSocket socket,
                                              std::shared_ptr<asio::ssl::context> context,
                                              const std::string& host) {
  auto stream = std::make_shared<Tls>(std::move(socket), std::move(context), TlsLayer::client);
  stream->layer().set_verify_mode(asio::ssl::verify_peer);
  stream->layer().set_verify_callback(asio::ssl::host_name_verification(host));
  SSL_set_tlsext_host_name(stream->layer().native_handle(), host.c_str());
  return stream;
}

}  // namespace cordon
