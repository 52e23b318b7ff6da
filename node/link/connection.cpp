#include "node/link/connection.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "proto/codec.h"

namespace cordon::node {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr auto kWriteLimit = std::chrono::seconds(20);
/// More than this unsent means the controller doesn't read: better a new connection than memory without
/// bound.
constexpr std::size_t kMostWaiting = 16u << 20;
constexpr auto kToken = asio::as_tuple(asio::use_awaitable);

asio::ip::address to_asio(const Address& address) {
  if (address.is_v4()) return asio::ip::address_v4(address.v4_host_order());
  return asio::ip::address_v6(address.bytes);
}

}  // namespace

Connection::Connection(asio::io_context& io, TlsContext context)
    : context_(std::move(context)), stream_(io, *context_), read_limit_(io), write_limit_(io) {}

void Connection::arm(asio::steady_timer& timer, Duration limit) {
  timer.expires_after(limit);
  timer.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
    const auto self = weak.lock();
    if (ec || !self) return;
    self->timed_out_ = true;
    self->close();
  });
}

void Connection::close() {
  if (closed_) return;
  closed_ = true;
  boost::system::error_code ec;
  stream_.next_layer().shutdown(tcp::socket::shutdown_both, ec);
  stream_.next_layer().close(ec);
  read_limit_.cancel();
  write_limit_.cancel();
}

asio::awaitable<Result<>> Connection::open(Endpoint to, Duration limit) {
  const auto self = shared_from_this();
  arm(read_limit_, limit);
  const tcp::endpoint endpoint(to_asio(to.address), to.port);
  auto [connect_error] = co_await stream_.next_layer().async_connect(endpoint, kToken);
  if (connect_error) {
    const std::string why = timed_out_ ? "no answer in time" : connect_error.message();
    close();
    co_return fail(ErrorCode::unavailable, "can't reach the controller at " + to.to_string() + ": " + why);
  }
  boost::system::error_code ignored;
  stream_.next_layer().set_option(tcp::no_delay(true), ignored);
  auto [tls_error] = co_await stream_.async_handshake(asio::ssl::stream_base::client, kToken);
  if (tls_error) {
    const std::string why = timed_out_ ? "no answer in time" : tls_error.message();
    close();
    co_return fail(ErrorCode::unauthorized, "no TLS with the controller at " + to.to_string() + ": " + why,
                   "check the address, this host's clock and, if the root was replaced, enrol again");
  }
  read_limit_.cancel();
  if (!agreed_on_protocol(native())) {
    close();
    co_return fail(ErrorCode::protocol, to.to_string() + " doesn't speak cordon/1",
                   "name the controller's port for nodes under `controllers` in node.toml");
  }
  co_return Result<>{};
}

asio::awaitable<Result<wire::ToNode>> Connection::read(Duration limit) {
  const auto self = shared_from_this();
  std::array<char, 16384> buffer;
  arm(read_limit_, limit);
  for (;;) {
    auto message = frames_.next();
    if (!message) {
      close();
      co_return std::unexpected(message.error());
    }
    if (message->has_value()) {
      read_limit_.cancel();
      auto decoded = wire::decode_to_node(**message);
      if (!decoded) close();
      co_return std::move(decoded);
    }
    auto [error, size] = co_await stream_.async_read_some(asio::buffer(buffer), kToken);
    if (error) {
      const std::string why = timed_out_ ? "nothing was heard in time" : error.message();
      close();
      co_return fail(ErrorCode::unavailable, "the connection to the controller ended: " + why);
    }
    frames_.feed(std::string_view(buffer.data(), size));
  }
}

bool Connection::send(const wire::ToController& message) {
  if (closed_) return false;
  auto framed = wire::frame(message.SerializeAsString());
  if (!framed || waiting_bytes_ + framed->size() > kMostWaiting) {
    close();
    return false;
  }
  waiting_bytes_ += framed->size();
  waiting_.push_back(std::move(*framed));
  if (!writing_) write_next();
  return true;
}

void Connection::write_next() {
  writing_ = true;
  arm(write_limit_, kWriteLimit);
  asio::async_write(stream_, asio::buffer(waiting_.front()),
                    [self = shared_from_this()](boost::system::error_code error, std::size_t) {
                      self->write_limit_.cancel();
                      self->writing_ = false;
                      if (error) return self->close();
                      self->waiting_bytes_ -= self->waiting_.front().size();
                      self->waiting_.pop_front();
                      if (!self->waiting_.empty() && !self->closed_) self->write_next();
                    });
}

}  // namespace cordon::node
