#include "controller/core/metrics_listener.h"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace cordon::controller {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
constexpr std::size_t kMaxRequest = 8192;
constexpr int kMaxConnections = 16;
constexpr auto kTimeout = std::chrono::seconds(5);

class Server : public std::enable_shared_from_this<Server> {
 public:
  Server(asio::any_io_executor executor, const Metrics& metrics)
      : executor_(std::move(executor)), metrics_(metrics), acceptor_(executor_) {}

  Result<> open(const Endpoint& at) {
    const tcp::endpoint endpoint(at.address.is_v4()
                                     ? asio::ip::address(asio::ip::address_v4(at.address.v4_host_order()))
                                     : asio::ip::address(asio::ip::address_v6(at.address.bytes)),
                                 at.port);
    boost::system::error_code error;
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(kMaxConnections, error);
    if (error) {
      return fail(ErrorCode::io,
                  fmt::format("can't listen for metrics at {}: {}", at.to_string(), error.message()),
                  "set [metrics] listen to an address of this host and a port that is free");
    }
    port_ = acceptor_.local_endpoint().port();
    asio::co_spawn(executor_, accept(), asio::detached);
    return {};
  }

  std::uint16_t port() const { return port_; }

  void stop() {
    stopped_ = true;
    boost::system::error_code ignored;
    acceptor_.close(ignored);
  }

 private:
  asio::awaitable<void> accept() {
    const auto self = shared_from_this();
    while (!stopped_) {
      boost::system::error_code error;
      tcp::socket socket = co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, error));
      if (stopped_) co_return;
      if (!error && connections_ < kMaxConnections) {
        asio::co_spawn(executor_, serve(std::move(socket)), asio::detached);
      } else if (error) {
        asio::steady_timer pause(executor_, std::chrono::milliseconds(100));
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
      }
    }
  }

  asio::awaitable<void> serve(tcp::socket given) {
    const auto self = shared_from_this();
    ++connections_;
    auto socket = std::make_shared<tcp::socket>(std::move(given));
    asio::steady_timer watchdog(executor_, kTimeout);
    watchdog.async_wait([socket](const boost::system::error_code& cancelled) {
      boost::system::error_code ignored;
      if (!cancelled) socket->close(ignored);
    });
    std::string request;
    boost::system::error_code error;
    co_await asio::async_read_until(*socket, asio::dynamic_buffer(request, kMaxRequest), "\r\n\r\n",
                                    asio::redirect_error(asio::use_awaitable, error));
    if (!error) {
      const std::string answer = answer_to(request);
      co_await asio::async_write(*socket, asio::buffer(answer),
                                 asio::redirect_error(asio::use_awaitable, error));
    }
    watchdog.cancel();
    socket->shutdown(tcp::socket::shutdown_both, error);
    --connections_;
  }

  std::string answer_to(std::string_view request) const {
    const bool known = request.starts_with("GET /metrics ");
    const std::string body = known ? metrics_.text() : "only GET /metrics is served here\n";
    return fmt::format(
        "HTTP/1.1 {}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: "
        "close\r\n\r\n{}",
        known ? "200 OK" : "404 Not Found", body.size(), body);
  }

  asio::any_io_executor executor_;
  const Metrics& metrics_;
  tcp::acceptor acceptor_;
  std::uint16_t port_ = 0;
  int connections_ = 0;
  bool stopped_ = false;
};

class Listening final : public MetricsListener {
 public:
  explicit Listening(std::shared_ptr<Server> server) : server_(std::move(server)) {}
  std::uint16_t port() const override { return server_->port(); }
  void stop() override { server_->stop(); }

 private:
  std::shared_ptr<Server> server_;
};

}  // namespace

Result<std::unique_ptr<MetricsListener>> listen_metrics(asio::any_io_executor executor, const Endpoint& at,
                                                        const Metrics& metrics) {
  auto server = std::make_shared<Server>(std::move(executor), metrics);
  CORDON_TRY(server->open(at));
  return std::make_unique<Listening>(std::move(server));
}

}  // namespace cordon::controller
