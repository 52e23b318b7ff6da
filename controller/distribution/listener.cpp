#include "controller/distribution/listener.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/log.h"
#include "controller/core/change_log.h"
#include "controller/core/metrics.h"
#include "controller/distribution/node_tls.h"
#include "proto/codec.h"
#include "proto/cordon.pb.h"
#include "proto/frame.h"

namespace cordon::controller {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
constexpr std::string_view kListenerArea = "controller.nodes";
constexpr int kStrangerMessages = 32;  // on one connection; a machine that waits for approval asks anew

Result<Endpoint> to_endpoint(const tcp::endpoint& endpoint) {
  Endpoint out{.port = endpoint.port()};
  if (endpoint.address().is_v4()) {
    out.address = Address::from_v4(endpoint.address().to_v4().to_uint());
  } else {
    CORDON_ASSIGN(out.address, Address::from_bytes(endpoint.address().to_v6().to_bytes()));
  }
  return out;
}

tcp::endpoint to_asio(const Endpoint& endpoint) {
  if (endpoint.address.is_v4()) {
    return {asio::ip::address_v4(endpoint.address.v4_host_order()), endpoint.port};
  }
  return {asio::ip::address_v6(endpoint.address.bytes), endpoint.port};
}

std::string goodbye(std::string_view reason, std::uint32_t retry_after_ms) {
  wire::ToNode out;
  out.mutable_goodbye()->set_reason(std::string(reason));
  out.mutable_goodbye()->set_retry_after_ms(retry_after_ms);
  return wire::frame(out.SerializeAsString()).value_or("");
}

}  // namespace

class Listener::Stranger {
 public:
  Stranger(std::shared_ptr<Listener> listener, std::string source)
      : listener_(std::move(listener)), source_(std::move(source)) {
    ++listener_->strangers_;
    ++listener_->strangers_by_source_[source_];
  }
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;
  /// Anywhere; the counts belong to the controller's strand.
  ~Stranger() {
    const auto strand = listener_->services_.strand;
    asio::post(strand, [listener = std::move(listener_), source = std::move(source_)] {
      --listener->strangers_;
      const auto found = listener->strangers_by_source_.find(source);
      if (--found->second == 0) listener->strangers_by_source_.erase(found);
    });
  }

 private:
  std::shared_ptr<Listener> listener_;
  std::string source_;
};

Listener::Listener(Services& services, std::shared_ptr<Hub> hub)
    : services_(services), hub_(std::move(hub)), acceptor_(services.strand) {}

Result<> Listener::reload_certificate() {
  CORDON_ASSIGN(tls_, make_node_tls(services_.authority));
  return {};
}

Result<> Listener::open(const Endpoint& at) {
  CORDON_TRY(reload_certificate());
  const tcp::endpoint endpoint = to_asio(at);
  boost::system::error_code error;
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  // One socket for both families, whatever the system's default is.
  if (!error && at.address.is_unspecified() && !at.address.is_v4()) {
    acceptor_.set_option(asio::ip::v6_only(false), error);
  }
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    return fail(ErrorCode::io, "can't listen for nodes at " + at.to_string() + ": " + error.message(),
                "set [listen] nodes to an address of this host and a port that is free");
  }
  port_ = acceptor_.local_endpoint().port();
  asio::co_spawn(services_.strand, accept(), asio::detached);
  return {};
}

void Listener::stop() {
  stopped_ = true;
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  for (const auto& weak : connections_) {
    if (const auto connection = weak.lock()) connection->finish();
  }
}

asio::awaitable<void> Listener::accept() {
  const auto self = shared_from_this();
  while (!stopped_) {
    boost::system::error_code error;
    tcp::socket socket =
        co_await acceptor_.async_accept(asio::any_io_executor(asio::make_strand(services_.io)),
                                        asio::redirect_error(asio::use_awaitable, error));
    if (stopped_) co_return;
    if (error) {
      // Out of descriptors, most likely: let some connections end.
      services_.metrics.count("accept_errors");
      asio::steady_timer pause(services_.strand, std::chrono::milliseconds(100));
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
      continue;
    }
    const auto from = socket.remote_endpoint(error);
    if (error) continue;
    const auto remote = to_endpoint(from);
    if (!remote) continue;
    const std::string source = source_key(remote->address);
    const auto known = strangers_by_source_.find(source);
    const bool full =
        strangers_ >= hub_->limits().strangers ||
        (known != strangers_by_source_.end() && known->second >= hub_->limits().strangers_of_a_source);
    if (full) {
      services_.metrics.count("connections_refused", "strangers");
      socket.close(error);
      continue;
    }
    socket.set_option(tcp::no_delay(true), error);
    std::erase_if(connections_, [](const auto& weak) { return weak.expired(); });
    auto connection = std::make_shared<Connection>(std::move(socket), tls_, services_.strand);
    connections_.insert(connection);
    auto stranger = std::make_shared<Stranger>(self, source);
    const auto executor = connection->executor();
    asio::co_spawn(executor, serve(std::move(connection), *remote, std::move(stranger)), asio::detached);
  }
}

void Listener::refuse(Connection& connection, std::string_view counter, std::string_view reason) {
  services_.metrics.count("connections_refused", counter);
  connection.send(goodbye(reason, 0));
  connection.finish();
}

asio::awaitable<void> Listener::serve(std::shared_ptr<Connection> connection, Endpoint remote,
                                      std::shared_ptr<Stranger> stranger) {
  const auto self = shared_from_this();
  auto peer = co_await connection->handshake(remote, hub_->limits().handshake);
  if (!peer) {
    services_.metrics.count("connections_refused", "handshake");
    log::debug(kListenerArea, "{}: {}", remote.to_string(), peer.error().message());
    connection->drop();
    co_return;
  }
  if (peer->certificate_pem.empty()) {
    co_await serve_stranger(connection, std::move(*peer));
  } else {
    co_await serve_device(connection, std::move(*peer), std::move(stranger));
  }
  // Whatever comes after our last word is thrown away until the peer, or its time, is at an end.
  while (co_await connection->read(wire::kMaxFrameBytes, hub_->limits().first_frame)) {
  }
  connection->drop();
}

asio::awaitable<void> Listener::serve_stranger(std::shared_ptr<Connection> connection, Peer peer) {
  for (int i = 0; i < kStrangerMessages; ++i) {
    const auto bytes =
        co_await connection->read(hub_->limits().first_frame_bytes, hub_->limits().first_frame);
    if (!bytes) {
      if (bytes.error().code == ErrorCode::protocol)
        refuse(*connection, "frame", bytes.error().what);
      else
        connection->drop();
      co_return;
    }
    const bool go_on = co_await asio::co_spawn(
        services_.strand,
        [this, &bytes, &peer, &connection]() -> asio::awaitable<bool> {
          co_return enrol(*bytes, peer, connection);
        },
        asio::use_awaitable);
    if (!go_on) co_return;
  }
  connection->finish();
}

/// On the controller's strand.
bool Listener::enrol(const std::string& bytes, const Peer& peer,
                     const std::shared_ptr<Connection>& connection) {
  if (stopped_) {
    connection->finish();
    return false;
  }
  const auto message = wire::decode_to_controller(bytes);
  if (!message) {
    refuse(*connection, "message", message.error().what);
    return false;
  }
  if (!message->has_enrol() && !message->has_enrol_poll()) {
    refuse(*connection, "no_certificate", "without a certificate a machine can only enrol");
    return false;
  }
  Enrolment& enrolment = hub_->enrolment();
  wire::ToNode busy;
  if (!enrolment.allowed(peer.remote.address)) {
    services_.metrics.count("connections_refused", "rate");
    busy.mutable_busy()->set_retry_after_ms(10'000);
    connection->send(wire::frame(busy.SerializeAsString()).value_or(""));
    connection->finish();
    return false;
  }
  const auto done = [connection](const wire::EnrolAnswer& answer) {
    wire::ToNode out;
    *out.mutable_enrolled() = answer;
    connection->send(wire::frame(out.SerializeAsString()).value_or(""));
    if (answer.outcome() == wire::EnrolAnswer::REFUSED) connection->finish();
  };
  if (message->has_enrol())
    enrolment.enrol(message->enrol(), peer.remote.address, done);
  else
    enrolment.poll(message->enrol_poll(), peer.remote.address, done);
  return true;
}

asio::awaitable<void> Listener::serve_device(std::shared_ptr<Connection> connection, Peer peer,
                                             std::shared_ptr<Stranger> stranger) {
  // A certificate of ours isn't yet a device that may come in: the first frame's limits are a stranger's.
  const auto bytes = co_await connection->read(hub_->limits().first_frame_bytes, hub_->limits().first_frame);
  if (!bytes) {
    if (bytes.error().code == ErrorCode::protocol)
      refuse(*connection, "frame", bytes.error().what);
    else
      connection->drop();
    co_return;
  }
  auto open = [this, &bytes, &peer, &connection]() -> asio::awaitable<std::shared_ptr<NodeSession>> {
    if (stopped_) {
      connection->finish();
      co_return nullptr;
    }
    const auto admitted = hub_->admit(peer);
    if (!admitted) {
      log::warning(kListenerArea, "{}: {}", peer.remote.to_string(), admitted.error().message());
      refuse(*connection, "device", admitted.error().what);
      co_return nullptr;
    }
    const auto message = wire::decode_to_controller(*bytes);
    if (!message) {
      refuse(*connection, "message", message.error().what);
      co_return nullptr;
    }
    if (message->has_renew()) {
      hub_->enrolment().renew(admitted->device, message->renew(),
                              [connection](const wire::RenewAnswer& renewed) {
                                wire::ToNode out;
                                *out.mutable_renewed() = renewed;
                                connection->send(wire::frame(out.SerializeAsString()).value_or(""));
                                connection->finish();
                              });
      co_return nullptr;
    }
    if (admitted->renew_only) {
      refuse(*connection, "expired", "the certificate has expired: it serves for renewal only");
      co_return nullptr;
    }
    if (!message->has_hello()) {
      refuse(*connection, "no_hello", "a session begins with Hello");
      co_return nullptr;
    }
    // Told of written frames, which happens on this strand and so after the session is known.
    const auto session = std::make_shared<std::weak_ptr<NodeSession>>();
    connection->on_written([session] {
      if (const auto alive = session->lock()) alive->written();
    });
    auto opened = hub_->open(*admitted, message->hello(), peer, connection);
    *session = opened;
    co_return opened;
  };
  const auto session = co_await asio::co_spawn(services_.strand, std::move(open), asio::use_awaitable);
  stranger.reset();
  if (session) co_await converse(std::move(connection), session);
}

asio::awaitable<void> Listener::converse(std::shared_ptr<Connection> connection,
                                         std::shared_ptr<NodeSession> session) {
  while (true) {
    const auto bytes = co_await connection->read(wire::kMaxFrameBytes, Connection::Millis::zero());
    const bool go_on = co_await asio::co_spawn(
        services_.strand,
        [this, &bytes, &session]() -> asio::awaitable<bool> {
          if (session->closed()) co_return false;
          if (!bytes) {
            if (bytes.error().code == ErrorCode::protocol)
              services_.metrics.count("protocol_errors", "frame");
            session->close(bytes.error().what);
            co_return false;
          }
          const auto message = wire::decode_to_controller(*bytes);
          if (!message) {
            services_.metrics.count("protocol_errors", "message");
            session->close(message.error().what);
            co_return false;
          }
          session->receive(*message);
          co_await session->ready_to_read();
          co_return !session->closed();
        },
        asio::use_awaitable);
    if (!go_on) co_return;
  }
}

}  // namespace cordon::controller
