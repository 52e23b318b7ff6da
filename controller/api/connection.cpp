// A connection of either listener from its socket to its end.

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "controller/api/exchange.h"
#include "controller/core/metrics.h"

namespace cordon::controller::api {
namespace {

asio::awaitable<void> run(std::shared_ptr<Server> server, std::shared_ptr<ByteStream> stream,
                          std::shared_ptr<Connections::Place> place, Peer peer) {
  stream->expires_after(kIdleTimeout);
  // Not within the `if`: GCC 12 destroys the frame's copies too early there.
  const boost::system::error_code error = co_await stream->handshake();
  if (error) {
    server->services.metrics.count("api_refused", "tls");
    co_return;
  }
  co_await serve(server, stream, peer);
  stream->expires_after(kFarewellTimeout);
  co_await stream->finish();
  (void)place;
}

}  // namespace

asio::awaitable<void> accept_loop(std::shared_ptr<Server> server, std::shared_ptr<StreamAcceptor> acceptor,
                                  std::function<void(StreamSocket)> start) {
  while (acceptor->is_open()) {
    StreamSocket socket(asio::make_strand(server->services.io));
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

void begin(const std::shared_ptr<Server>& server, Connections& connections,
           std::shared_ptr<ByteStream> stream, Peer peer) {
  auto place = connections.enter([weak = std::weak_ptr(stream)] {
    if (const auto open = weak.lock()) asio::post(open->executor(), [open] { open->close(); });
  });
  if (!place) return server->services.metrics.count("api_refused", "connections");
  const auto executor = stream->executor();
  asio::co_spawn(executor, run(server, std::move(stream), std::move(place), peer), asio::detached);
}

}  // namespace cordon::controller::api
