#include "node/agent/desk.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "node/agent/desk_json.h"
#include "proto/cordon.pb.h"

namespace cordon::node {
namespace {

namespace asio = boost::asio;

Error away() {
  return {.code = ErrorCode::unavailable,
          .what = "the controller can't be reached now",
          .hint = "check this host's network; `cordon status` shows the link"};
}

std::string too_many(std::chrono::milliseconds wait) {
  const Error error{
      .code = ErrorCode::exhausted, .what = "too many requests of this user", .hint = "wait, then try again"};
  return local::error_reply(error, static_cast<std::uint32_t>(wait.count()));
}

}  // namespace

struct Desk::Waiting {
  Waiting(asio::io_context& io, Answered done) : limit(io), then(std::move(done)) {}
  asio::steady_timer limit;
  Answered then;
};

struct Desk::Arrival {
  Arrival(asio::io_context& io, wire::LoginAnswer what, Reply how)
      : limit(io), answer(std::move(what)), reply(std::move(how)) {}
  asio::steady_timer limit;
  wire::LoginAnswer answer;
  Reply reply;
};

Desk::Desk(asio::io_context& io, DeskLimits limits, DeskBackend& backend)
    : io_(io), limits_(limits), backend_(backend), flows_(io, backend), asked_(limits.of_one) {}
Desk::~Desk() = default;

void Desk::ask(wire::ToController message, std::uint64_t request, std::chrono::milliseconds limit,
               Answered then) {
  if (waiting_.size() >= limits_.waiting || !backend_.send(message)) return then(nullptr);
  auto& waiting = *(waiting_[request] = std::make_unique<Waiting>(io_, std::move(then)));
  waiting.limit.expires_after(limit);
  waiting.limit.async_wait([this, request](boost::system::error_code ec) {
    if (!ec) finish(request, nullptr);
  });
}

void Desk::finish(std::uint64_t request, const wire::ToNode* answer) {
  const auto found = waiting_.find(request);
  if (found == waiting_.end()) return;
  const Answered then = std::move(found->second->then);
  waiting_.erase(found);
  then(answer);
}

bool Desk::answered(const wire::ToNode& message) {
  switch (message.body_case()) {
    case wire::ToNode::kLogin:
      finish(message.login().request(), &message);
      return true;
    case wire::ToNode::kLogout:
      finish(message.logout().request(), &message);
      return true;
    case wire::ToNode::kWhy:
      finish(message.why().request(), &message);
      return true;
    case wire::ToNode::kStatus:
      finish(message.status().request(), &message);
      return true;
    default:
      return false;
  }
}

void Desk::disconnected() {
  while (!waiting_.empty()) finish(waiting_.begin()->first, nullptr);
}

void Desk::take(const local::Request& request, const local::Caller& caller, Reply reply) {
  if (const auto* login = std::get_if<local::Login>(&request))
    return log_in(*login, caller, std::move(reply));
  if (const auto* question = std::get_if<local::Why>(&request))
    return why(*question, caller, std::move(reply));
  if (const auto* flows = std::get_if<local::Flows>(&request))
    return flows_.flows(*flows, caller, std::move(reply));
  if (std::holds_alternative<local::Counters>(request)) return flows_.counters(caller, reply);
  if (std::holds_alternative<local::Logout>(request)) return log_out(caller, std::move(reply));
  status(caller, std::move(reply));
}

std::chrono::milliseconds Desk::wait_of(std::uint32_t uid) {
  const auto now = std::chrono::steady_clock::now();
  const std::string key = std::to_string(uid);
  return asked_.take(key, now) ? std::chrono::milliseconds{} : asked_.wait(key, now);
}

void Desk::log_in(const local::Login& login, const local::Caller& caller, Reply reply) {
  if (!backend_.is_person(caller.uid))
    return reply(local::error_reply(
        {.code = ErrorCode::forbidden,
         .what = "uid " + std::to_string(caller.uid) + " is the device here, not a person",
         .hint = "log in as the user who will use it, or add the uid to people_uids in node.toml"}));
  if (const auto wait = wait_of(caller.uid); wait.count() > 0) return reply(too_many(wait));
  const std::uint64_t request = next_request_++;
  wire::ToController message;
  auto& body = *message.mutable_login();
  body.set_request(request);
  body.set_user(login.user);
  body.set_password(login.password);
  body.set_totp(login.totp);
  body.set_uid(caller.uid);
  ask(std::move(message), request, limits_.login, [this, reply](const wire::ToNode* answer) {
    if (answer == nullptr || !answer->has_login()) return reply(local::error_reply(away()));
    if (answer->login().ok()) return logged_in(answer->login(), reply);
    const std::uint32_t wait = answer->login().retry_after_ms();
    const Error error{.code = wait == 0 ? ErrorCode::unauthorized : ErrorCode::exhausted,
                      .what = answer->login().reason(),
                      .hint = wait == 0 ? "check user, password and code" : "wait, then try again"};
    reply(local::error_reply(error, wait));
  });
}

void Desk::logged_in(const wire::LoginAnswer& answer, Reply reply) {
  const std::uint64_t id = next_request_++;
  auto& arrival = *(arrivals_[id] = std::make_unique<Arrival>(io_, answer, std::move(reply)));
  arrival.limit.expires_after(limits_.applied);
  arrival.limit.async_wait([this, id](boost::system::error_code ec) {
    if (ec) return;
    const auto found = arrivals_.find(id);
    if (found == arrivals_.end()) return;
    const auto late = std::move(found->second);
    arrivals_.erase(found);
    late->reply(login_json(late->answer, nullptr));
  });
  state_changed();
}

void Desk::state_changed() {
  for (auto it = arrivals_.begin(); it != arrivals_.end();) {
    const auto found =
        backend_.state().entries.find(policy::LocalSessionKey{SessionId{it->second->answer.session()}});
    if (found == backend_.state().entries.end()) {
      ++it;
      continue;
    }
    const auto arrived = std::move(it->second);
    it = arrivals_.erase(it);
    arrived->reply(login_json(arrived->answer, std::get_if<policy::LocalSessionValue>(&found->second)));
  }
}

void Desk::log_out(const local::Caller& caller, Reply reply) {
  if (const auto wait = wait_of(caller.uid); wait.count() > 0) return reply(too_many(wait));
  const std::uint64_t request = next_request_++;
  wire::ToController message;
  message.mutable_logout()->set_request(request);
  message.mutable_logout()->set_uid(caller.uid);
  ask(std::move(message), request, limits_.answer, [reply](const wire::ToNode* answer) {
    if (answer == nullptr || !answer->has_logout()) return reply(local::error_reply(away()));
    if (answer->logout().ok()) return reply(ok_json());
    reply(local::error_reply({.code = ErrorCode::not_found, .what = answer->logout().reason()}));
  });
}

void Desk::why(const local::Why& question, const local::Caller& caller, Reply reply) {
  if (const auto wait = wait_of(caller.uid); wait.count() > 0) return reply(too_many(wait));
  const std::uint64_t request = next_request_++;
  wire::ToController message;
  auto& body = *message.mutable_why();
  body.set_request(request);
  body.set_uid(caller.uid);
  body.set_target(question.target);
  body.set_protocol(question.protocol);
  body.set_port(question.port);
  ask(std::move(message), request, limits_.answer, [reply](const wire::ToNode* answer) {
    if (answer == nullptr || !answer->has_why()) return reply(local::error_reply(away()));
    if (answer->why().retry_after_ms() == 0) return reply(why_json(answer->why()));
    const Error error{
        .code = ErrorCode::exhausted, .what = "too many questions", .hint = "wait, then ask again"};
    reply(local::error_reply(error, answer->why().retry_after_ms()));
  });
}

void Desk::status(const local::Caller& caller, Reply reply) {
  // What this host knows by itself is always told.
  if (wait_of(caller.uid).count() > 0) return reply(status_json(backend_, caller.uid, nullptr));
  const std::uint64_t request = next_request_++;
  wire::ToController message;
  message.mutable_status()->set_request(request);
  message.mutable_status()->set_uid(caller.uid);
  ask(std::move(message), request, limits_.answer,
      [this, reply, uid = caller.uid](const wire::ToNode* answer) {
        reply(status_json(backend_, uid,
                          answer != nullptr && answer->has_status() ? &answer->status() : nullptr));
      });
}

}  // namespace cordon::node
