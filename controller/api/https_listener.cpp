#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/strand.hpp>
#include <cstring>
#include <mutex>

#include "base/crypto.h"
#include "controller/api/server.h"
#include "controller/core/config.h"
#include "controller/pki/authority.h"

namespace cordon::controller::api {
namespace {

using asio::ip::tcp;
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

class HttpsListener final : public Listener, public std::enable_shared_from_this<HttpsListener> {
 public:
  HttpsListener(std::shared_ptr<Server> server, ContextPtr context)
      : server_(std::move(server)),
        context_(std::move(context)),
        acceptor_(std::make_shared<StreamAcceptor>(asio::make_strand(server_->services.io))) {}

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
    tcp::endpoint bound;
    const auto local = acceptor_->local_endpoint(error);
    std::memcpy(bound.data(), local.data(), std::min(local.size(), bound.capacity()));
    port_ = bound.port();
    return {};
  }

  void start() {
    auto take = [self = shared_from_this()](StreamSocket socket) { self->take(std::move(socket)); };
    asio::co_spawn(acceptor_->get_executor(), accept_loop(server_, acceptor_, std::move(take)),
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
  void take(StreamSocket socket) {
    ContextPtr context;
    {
      const std::lock_guard lock(mutex_);
      context = context_;
    }
    begin(server_, *connections_, tls_server_stream(std::move(socket), std::move(context)),
          Peer{.local = false});
  }

  std::shared_ptr<Server> server_;
  std::mutex mutex_;
  ContextPtr context_;
  std::shared_ptr<StreamAcceptor> acceptor_;
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
