#include "node/link/session.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>

#include "base/log.h"
#include "node/link/connection.h"
#include "node/link/verify.h"
#include "proto/cordon.pb.h"

namespace cordon::node {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
constexpr milliseconds kLeastInterval{100}, kMostInterval{60'000};

/// How one connection ended, and how long the controller asked us to stay away.
struct Ended {
  Error why;
  milliseconds stay_away{0};
  bool at_once = false;  ///< not a failure: come back without waiting
};

}  // namespace

class Session::Loop : public std::enable_shared_from_this<Session::Loop> {
 public:
  Loop(asio::io_context& io, SessionConfig config, const Clock& clock, std::function<double()> uniform,
       SessionHandler& handler)
      : io_(io),
        controllers_(std::move(config.controllers)),
        limits_(config.limits),
        clock_(clock),
        handler_(handler),
        backoff_(limits_.backoff, std::move(uniform)),
        pause_(io),
        beat_(io) {}

  void start() { asio::co_spawn(io_, run(shared_from_this()), asio::detached); }

  void stop() {
    stopped_ = true;
    pause_.cancel();
    beat_.cancel();
    if (connection_) connection_->close();
  }

  void reconnect() {
    at_once_ = true;
    if (connection_) connection_->close();
    pause_.cancel();
  }

  bool connected() const { return welcomed_ && connection_ && !connection_->closed(); }
  bool send(const wire::ToController& message) { return connected() && connection_->send(message); }

  void beat() {
    if (!connected()) return;
    wire::ToController message;
    message.mutable_heartbeat()->set_sent_boot_ns(clock_.boot_ns());
    handler_.fill_heartbeat(*message.mutable_heartbeat());
    connection_->send(message);
    schedule_beat();
  }

  void set_interval(milliseconds interval) {
    interval = std::clamp(interval, kLeastInterval, kMostInterval);
    if (interval == interval_) return;
    interval_ = interval;
    if (connected()) schedule_beat();
  }

  void set_controllers(std::vector<Endpoint> controllers) { controllers_ = std::move(controllers); }
  Endpoint controller() const { return controller_; }

 private:
  // The coroutine holds `self`: the loop lives until it has seen `stopped_`.
  asio::awaitable<void> run(std::shared_ptr<Loop> self) {
    for (std::size_t turn = 0; !self->stopped_; ++turn) {
      self->controller_ = self->controllers_[turn % self->controllers_.size()];
      const Ended ended = co_await self->converse(self->controller_);
      self->welcomed_ = false;
      self->beat_.cancel();
      self->connection_.reset();
      if (self->stopped_) co_return;
      self->handler_.disconnected(ended.why);
      if (self->stopped_) co_return;
      if (ended.at_once || std::exchange(self->at_once_, false)) continue;
      const milliseconds told = std::min(ended.stay_away, self->limits_.most_told_wait);
      self->pause_.expires_after(std::max(self->backoff_.next(), told));
      co_await self->pause_.async_wait(asio::as_tuple(asio::use_awaitable));
    }
  }

  /// Opens the connection and checks who answers. The error is what ended it.
  asio::awaitable<Result<>> open(Endpoint controller, const Credentials& credentials) {
    auto context = mutual_context(credentials);
    if (!context) co_return std::unexpected(context.error());
    connection_ = std::make_shared<Connection>(io_, *context);
    auto opened = co_await connection_->open(controller, limits_.connect);
    if (!opened) co_return opened;
    const auto ours = crypto::parse_certificate(credentials.certificate_pem);
    const auto theirs = crypto::parse_certificate(presented_leaf_pem(connection_->native()));
    if (!ours || !theirs) co_return fail(ErrorCode::protocol, "the controller's certificate can't be read");
    co_return require_controller(*theirs, trust_domain(*ours, "device"));
  }

  /// Is our certificate still good? `forbidden` when it expired too long ago.
  Result<bool> certificate_expired(const Credentials& credentials) const {
    CORDON_ASSIGN(const auto ours, crypto::parse_certificate(credentials.certificate_pem));
    const Timestamp now = clock_.now();
    if (now <= ours.not_after) return false;
    if (now <= ours.not_after + limits_.expired_grace) return true;
    return fail(ErrorCode::forbidden, "this device's certificate expired " + format_rfc3339(ours.not_after),
                "enrol it again with a new token: cordon-node enrol");
  }

  asio::awaitable<Ended> converse(Endpoint controller) {
    auto credentials = handler_.credentials();
    if (!credentials) co_return Ended{.why = credentials.error()};
    const auto expired = certificate_expired(*credentials);
    if (!expired) co_return Ended{.why = expired.error(), .stay_away = limits_.most_told_wait};
    const auto opened = co_await open(controller, *credentials);
    if (!opened) {
      if (connection_) connection_->close();
      co_return Ended{.why = opened.error()};
    }
    if (*expired) co_return co_await renew();
    co_return co_await greet();
  }

  asio::awaitable<Ended> renew() {
    auto request = handler_.renewal();
    if (!request) co_return Ended{.why = request.error()};
    connection_->send(*request);
    auto answer = co_await connection_->read(limits_.answer);
    connection_->close();
    if (!answer) co_return Ended{.why = answer.error()};
    if (answer->body_case() != wire::ToNode::kRenewed) co_return refusal(*answer);
    handler_.received(*answer);
    const bool renewed = answer->renewed().reason().empty();
    co_return Ended{
        .why = {.code = ErrorCode::unavailable, .what = renewed ? "certificate renewed" : "renewal refused"},
        .at_once = renewed && !std::exchange(renewed_at_once_, true)};
  }

  asio::awaitable<Ended> greet() {
    wire::ToController hello;
    handler_.fill_hello(*hello.mutable_hello());
    const BootNs sent = clock_.boot_ns();
    hello.mutable_hello()->set_sent_boot_ns(sent);
    connection_->send(hello);
    auto answer = co_await connection_->read(limits_.answer);
    if (!answer) co_return Ended{.why = answer.error()};
    if (answer->body_case() != wire::ToNode::kWelcome) {
      connection_->close();
      co_return refusal(*answer);
    }
    if (answer->welcome().echo_boot_ns() != sent) {
      connection_->close();
      co_return Ended{
          .why = {.code = ErrorCode::protocol, .what = "the controller's Welcome answers another Hello"}};
    }
    renewed_at_once_ = false;
    co_return co_await listen(*answer, sent);
  }

  asio::awaitable<Ended> listen(const wire::ToNode& welcome, BootNs sent) {
    const auto since = std::chrono::steady_clock::now();
    welcomed_ = true;
    set_interval(milliseconds(welcome.welcome().heartbeat_interval_ms()));
    schedule_beat();
    handler_.connected(welcome.welcome(), sent);
    Ended ended;
    while (!stopped_) {
      auto message = co_await connection_->read(std::max(limits_.least_silence, interval_ * 3));
      if (!message) {
        ended.why = message.error();
        break;
      }
      if (message->body_case() == wire::ToNode::kGoodbye || message->body_case() == wire::ToNode::kBusy) {
        ended = refusal(*message);
        break;
      }
      if (!stopped_) handler_.received(*message);
    }
    connection_->close();
    if (std::chrono::steady_clock::now() - since >= limits_.settled) backoff_.reset();
    co_return ended;
  }

  static Ended refusal(const wire::ToNode& message) {
    if (message.body_case() == wire::ToNode::kBusy)
      return {.why = {.code = ErrorCode::unavailable, .what = "the controller is busy"},
              .stay_away = milliseconds(message.busy().retry_after_ms())};
    if (message.body_case() == wire::ToNode::kGoodbye)
      return {.why = {.code = ErrorCode::unavailable,
                      .what = "the controller ended the session: " + message.goodbye().reason()},
              .stay_away = milliseconds(message.goodbye().retry_after_ms())};
    return {.why = {.code = ErrorCode::protocol, .what = "the controller answered out of turn"}};
  }

  void schedule_beat() {
    beat_.expires_after(interval_);
    beat_.async_wait([self = shared_from_this()](boost::system::error_code ec) {
      if (!ec && !self->stopped_) self->beat();
    });
  }

  asio::io_context& io_;
  std::vector<Endpoint> controllers_;
  Endpoint controller_;
  const SessionLimits limits_;
  const Clock& clock_;
  SessionHandler& handler_;
  Backoff backoff_;
  asio::steady_timer pause_, beat_;
  milliseconds interval_{10'000};
  std::shared_ptr<Connection> connection_;
  bool stopped_ = false, welcomed_ = false, at_once_ = false, renewed_at_once_ = false;
};

Session::Session(asio::io_context& io, SessionConfig config, const Clock& clock,
                 std::function<double()> uniform, SessionHandler& handler)
    : loop_(std::make_shared<Loop>(io, std::move(config), clock, std::move(uniform), handler)) {}
Session::~Session() {
  loop_->stop();
}
void Session::start() {
  loop_->start();
}
void Session::stop() {
  loop_->stop();
}
bool Session::connected() const {
  return loop_->connected();
}
bool Session::send(const wire::ToController& message) {
  return loop_->send(message);
}
void Session::beat() {
  loop_->beat();
}
void Session::set_heartbeat_interval(milliseconds interval) {
  loop_->set_interval(interval);
}
void Session::set_controllers(std::vector<Endpoint> controllers) {
  loop_->set_controllers(std::move(controllers));
}
Endpoint Session::controller() const {
  return loop_->controller();
}
void Session::reconnect() {
  loop_->reconnect();
}

}  // namespace cordon::node
