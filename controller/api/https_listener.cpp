#include <boost/asio/ssl.hpp>

#include "base/crypto.h"
#include "base/log.h"
#include "controller/api/exchange.h"
#include "controller/core/config.h"
#include "controller/core/metrics.h"
#include "controller/pki/authority.h"

namespace cordon::controller::api {
namespace {

using asio::ip::tcp;
using TlsStream = asio::ssl::stream<TcpStream>;
using ContextPtr = std::shared_ptr<asio::ssl::context>;

Result<ContextPtr> make_context(const Authority& authority) {
  try {
    auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
    SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_3_VERSION);
    SSL_CTX_set_num_tickets(context->native_handle(), 0);
    context->use_certificate_chain(asio::buffer(authority.server_chain_pem()));
    context->use_private_key(asio::buffer(authority.server_key().to_pem()), asio::ssl::context::pem);
    return context;
  } catch (const boost::system::system_error& error) {
    return fail(ErrorCode::invalid, "the server's certificate can't be used: " + error.code().message());
  }
}

asio::awaitable<void> run(std::shared_ptr<Server> server, std::shared_ptr<TlsStream> stream,
                          ContextPtr context, std::shared_ptr<Connections::Place> place) {
  boost::system::error_code error;
  stream->next_layer().expires_after(kIdleTimeout);
  co_await stream->async_handshake(asio::ssl::stream_base::server,
                                   asio::redirect_error(asio::use_awaitable, error));
  if (error) {
    server->services.metrics.count("api_refused", "tls");
    co_return;
  }
  co_await serve(server, *stream, Peer{.local = false});
  stream->next_layer().expires_after(Seconds{5});
  co_await stream->async_shutdown(asio::redirect_error(asio::use_awaitable, error));
  (void)context;  // outlives the stream
  (void)place;
}

class HttpsListener final : public Listener, public std::enable_shared_from_this<HttpsListener> {
 public:
  HttpsListener(std::shared_ptr<Server> server, ContextPtr context)
      : server_(std::move(server)),
        context_(std::move(context)),
        acceptor_(std::make_shared<tcp::acceptor>(asio::make_strand(server_->services.io))) {}

  Result<> open(const Endpoint& at) {
    const auto raw = at.address.raw();
    tcp::endpoint endpoint;
    if (raw.size() == 4) {
      endpoint = {asio::ip::address_v4(at.address.v4_host_order()), at.port};
    } else {
      endpoint = {asio::ip::address_v6(at.address.bytes), at.port};
    }
    boost::system::error_code error;
    acceptor_->open(endpoint.protocol(), error);
    if (!error) acceptor_->set_option(tcp::acceptor::reuse_address(true), error);
    if (!error && raw.size() == 16) acceptor_->set_option(asio::ip::v6_only(false), error);
    if (!error) acceptor_->bind(endpoint, error);
    if (!error) acceptor_->listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      return fail(ErrorCode::io, "can't listen at " + at.to_string() + ": " + error.message(),
                  "is another program there? [listen] api in controller.toml sets the address");
    }
    port_ = acceptor_->local_endpoint(error).port();
    return {};
  }

  void start() {
    asio::co_spawn(
        acceptor_->get_executor(),
        accept_loop<tcp>(server_, acceptor_,
                         [self = shared_from_this()](tcp::socket socket) { self->take(std::move(socket)); }),
        asio::detached);
  }

  void stop() override {
    asio::post(acceptor_->get_executor(), [acceptor = acceptor_] {
      boost::system::error_code ignored;
      acceptor->close(ignored);
    });
    connections_->close_all();
  }

  std::uint16_t port() const override { return port_; }

  Result<> reload() override {
    CORDON_ASSIGN(ContextPtr fresh, make_context(server_->services.authority));
    const std::lock_guard lock(mutex_);
    context_ = std::move(fresh);
    return {};
  }

 private:
  void take(tcp::socket socket) {
    ContextPtr context;
    {
      const std::lock_guard lock(mutex_);
      context = context_;
    }
    auto stream = std::make_shared<TlsStream>(TcpStream(std::move(socket)), *context);
    auto place = connections_->enter([weak = std::weak_ptr(stream)] {
      if (const auto open = weak.lock()) {
        asio::post(open->get_executor(), [open] { open->next_layer().close(); });
      }
    });
    if (!place) return server_->services.metrics.count("api_refused", "connections");
    asio::co_spawn(stream->get_executor(), run(server_, stream, std::move(context), std::move(place)),
                   asio::detached);
  }

  std::shared_ptr<Server> server_;
  std::mutex mutex_;
  ContextPtr context_;
  std::shared_ptr<tcp::acceptor> acceptor_;
  std::shared_ptr<Connections> connections_ = std::make_shared<Connections>(kMaxHttpsConnections);
  std::uint16_t port_ = 0;
};

}  // namespace

Result<std::shared_ptr<Listener>> listen_https(std::shared_ptr<Server> server) {
  CORDON_ASSIGN(ContextPtr context, make_context(server->services.authority));
  const Endpoint at = server->services.config.listen_api;
  auto listener = std::make_shared<HttpsListener>(std::move(server), std::move(context));
  CORDON_TRY(listener->open(at));
  listener->start();
  return listener;
}

}  // namespace cordon::controller::api
