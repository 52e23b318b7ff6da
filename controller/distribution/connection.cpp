#include "controller/distribution/connection.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "controller/distribution/node_tls.h"

namespace cordon::controller {

namespace {

namespace asio = boost::asio;
constexpr auto kLastCall = std::chrono::seconds(1);

std::unexpected<Error> ended(std::string what, const boost::system::error_code& error) {
  return fail(ErrorCode::unavailable, std::move(what) + ": " + error.message());
}

}  // namespace

Connection::Connection(asio::ip::tcp::socket socket, std::shared_ptr<asio::ssl::context> context,
                       asio::any_io_executor strand)
    : context_(std::move(context)),
      stream_(std::move(socket), *context_),
      strand_(std::move(strand)),
      watchdog_(stream_.get_executor()),
      last_call_(stream_.get_executor()) {}

void Connection::shut() {
  boost::system::error_code ignored;
  stream_.lowest_layer().close(ignored);
}

void Connection::watch(Millis timeout) {
  if (timeout == Millis::zero()) return;
  watchdog_.expires_after(timeout);
  watchdog_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    if (const auto self = weak.lock(); self && !error) self->shut();
  });
}

void Connection::unwatch() {
  watchdog_.cancel();
}

asio::awaitable<Result<Peer>> Connection::handshake(Endpoint remote, Millis timeout) {
  const auto self = shared_from_this();
  watch(timeout);
  boost::system::error_code error;
  co_await stream_.async_handshake(asio::ssl::stream_base::server,
                                   asio::redirect_error(asio::use_awaitable, error));
  unwatch();
  if (error) co_return ended("the TLS handshake failed", error);
  co_return Peer{.remote = remote, .certificate_pem = peer_certificate_pem(stream_.native_handle())};
}

asio::awaitable<Result<std::string>> Connection::read(std::uint32_t most, Millis timeout) {
  const auto self = shared_from_this();
  std::array<std::uint8_t, 4> header{};
  boost::system::error_code error;
  watch(timeout);
  co_await asio::async_read(stream_, asio::buffer(header), asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return ended("the connection ended", error);
  const std::uint32_t length = std::uint32_t{header[0]} << 24 | std::uint32_t{header[1]} << 16 |
                               std::uint32_t{header[2]} << 8 | std::uint32_t{header[3]};
  if (length == 0 || length > most) {
    unwatch();
    co_return fail(ErrorCode::protocol, "a frame of a length that is not allowed");
  }
  std::string message(length, '\0');
  co_await asio::async_read(stream_, asio::buffer(message), asio::redirect_error(asio::use_awaitable, error));
  unwatch();
  if (error) co_return ended("the connection ended within a frame", error);
  co_return message;
}

asio::awaitable<void> Connection::write_queue() {
  const auto self = shared_from_this();
  boost::system::error_code error;
  while (!queue_.empty() && !error) {
    co_await asio::async_write(stream_, asio::buffer(queue_.front()),
                               asio::redirect_error(asio::use_awaitable, error));
    queue_.pop_front();
    if (!error && written_) asio::post(strand_, written_);
  }
  writing_ = false;
  if (error) co_return shut();
  // What the peer still sends is read and thrown away, or closing would take our last words with it.
  boost::system::error_code ignored;
  if (finishing_) stream_.lowest_layer().shutdown(asio::socket_base::shutdown_send, ignored);
}

void Connection::send(std::string frame) {
  asio::post(executor(), [self = shared_from_this(), frame = std::move(frame)]() mutable {
    if (self->finishing_) return;
    self->queue_.push_back(std::move(frame));
    if (std::exchange(self->writing_, true)) return;
    asio::co_spawn(self->executor(), self->write_queue(), asio::detached);
  });
}

void Connection::finish() {
  asio::post(executor(), [self = shared_from_this()] {
    self->finishing_ = true;
    boost::system::error_code ignored;
    if (!self->writing_) self->stream_.lowest_layer().shutdown(asio::socket_base::shutdown_send, ignored);
    self->last_call_.expires_after(kLastCall);
    self->last_call_.async_wait([weak = self->weak_from_this()](const boost::system::error_code& error) {
      if (const auto alive = weak.lock(); alive && !error) alive->shut();
    });
  });
}

void Connection::drop() {
  asio::post(executor(), [self = shared_from_this()] { self->shut(); });
}

}  // namespace cordon::controller
