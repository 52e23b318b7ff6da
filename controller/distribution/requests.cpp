#include "controller/distribution/requests.h"

#include <fmt/format.h>

#include "base/log.h"
#include "controller/core/change_log.h"
#include "controller/core/metrics.h"
#include "controller/core/services.h"
#include "controller/distribution/reach.h"
#include "controller/identity/login.h"
#include "policy/evaluate.h"
#include "proto/codec.h"
#include "proto/cordon.pb.h"

namespace cordon::controller {

namespace {

constexpr int kMostReach = 1000;  // of a status; keeps the answer well under a frame

RateLimiter::Time request_now() {
  return RateLimiter::Time::clock::now();
}

/// The device of that name or with that address; sessions' addresses are no targets.
DeviceId find_target(const policy::World& world, const std::string& text) {
  const auto address = Address::parse(text);
  if (!address) return DeviceId(text);
  for (const auto& [id, device] : world.devices) {
    if (device.addresses.v4 == *address || device.addresses.v6 == *address) return id;
  }
  if (const policy::Device* behind = policy::find_behind(world, *address)) return behind->id;
  return {};
}

policy::PrincipalRef principal_of(const policy::World& world, const DeviceId& device, std::uint32_t uid,
                                  Timestamp now) {
  if (const policy::Session* session = session_of(world, device, uid, now)) return session->id;
  return device;
}

void tell(const policy::Decision& decision, wire::WhyAnswer& answer) {
  if (decision.verdict == policy::Verdict::allow) {
    answer.set_allowed(true);
    answer.set_rule(decision.rule);
    answer.set_deadline_us(to_us(decision.deadline));
    answer.set_answer(fmt::format("rule \"{}\" allows it until {} and is renewed while it holds",
                                  decision.rule, format_rfc3339(decision.deadline)));
    return;
  }
  if (decision.reason == "isolated") {  // the asker's own device; said before any target is looked at
    answer.set_answer("this device is isolated");
    answer.add_mends("an operator can release it: cordon release");
    return;
  }
  if (decision.verdict == policy::Verdict::forbid) {
    answer.set_rule(decision.rule);
    answer.set_answer(fmt::format("rule \"{}\" forbids it", decision.rule));
    return;
  }
  for (const policy::Because& because : decision.because) {
    if (because.holds || because.failed.empty()) continue;
    answer.set_rule(because.rule);
    answer.set_answer(fmt::format("rule \"{}\" would allow it, but not as things are", because.rule));
    for (const policy::FailedCondition& failed : because.failed) {
      answer.add_mends(fmt::format("{}: needs {}, found {}", failed.condition, failed.needed, failed.found));
    }
    return;
  }
  answer.set_answer("no rule grants you this");
}

}  // namespace

NodeRequests::NodeRequests(Services& services, const DistributionLimits& limits, const StateSource& states,
                           Settle settle)
    : services_(services),
      states_(states),
      settle_(std::move(settle)),
      questions_(limits.questions),
      statuses_(limits.statuses) {}

template <class Reachable>
void NodeRequests::fill_reach(const DeviceId& device, const policy::PrincipalRef& principal,
                              Reachable& out) const {
  const auto state = states_.state(device);
  if (!state) return;
  for (const ReachEntry& entry :
       reach_of(services_.log.world(), *state, principal, services_.clock.now(), kMostReach)) {
    wire::Reach* reach = out.add_reach();
    reach->set_target(entry.target.value);
    for (const Prefix& prefix : entry.prefixes) {
      if (prefix.bits == 128)
        reach->add_addresses(wire::encode_address(prefix.address));
      else
        wire::encode_prefix(prefix, reach->add_subnets());
    }
    reach->set_service(entry.service);
    reach->set_access(entry.access);
    reach->set_rule(entry.rule);
    reach->set_deadline_us(to_us(entry.deadline));
  }
}

void NodeRequests::login(const DeviceId& device, const wire::LoginRequest& request, Done done) {
  if (!statuses_.take(device.value, request_now())) {
    wire::ToNode out;
    out.mutable_login()->set_request(request.request());
    out.mutable_login()->set_reason("too many requests from this device");
    out.mutable_login()->set_retry_after_ms(
        static_cast<std::uint32_t>(statuses_.wait(device.value, request_now()).count()));
    return done(std::move(out));
  }
  LoginAttempt attempt{.device = device,
                       .uid = request.uid(),
                       .user = request.user(),
                       .password = request.password(),
                       .totp = request.totp()};
  services_.identity->log_in(
      std::move(attempt), [self = shared_from_this(), device, number = request.request(),
                           done = std::move(done)](std::expected<policy::Session, LoginRefused> session) {
        wire::ToNode out;
        wire::LoginAnswer& answer = *out.mutable_login();
        answer.set_request(number);
        if (!session) {
          self->services_.metrics.count("logins", "refused");
          answer.set_reason(session.error().reason);
          const std::chrono::milliseconds wait = session.error().retry_after;
          answer.set_retry_after_ms(static_cast<std::uint32_t>(wait.count()));
          return done(std::move(out));
        }
        self->services_.metrics.count("logins", "opened");
        answer.set_ok(true);
        answer.set_session(session->id.value);
        answer.set_ends_at_us(to_us(session->ends_at));
        const policy::World& world = self->services_.log.world();
        if (const auto user = world.users.find(session->user); user != world.users.end()) {
          answer.set_user(user->second.name);
        }
        self->fill_reach(device, session->id, answer);
        // What was granted works once the nodes concerned hold it.
        self->settle_(session->id, [out = std::move(out), done]() mutable { done(std::move(out)); });
      });
}

void NodeRequests::logout(const DeviceId& device, const wire::LogoutRequest& request, Done done) {
  const policy::World& world = services_.log.world();
  const policy::Session* session = nullptr;
  if (request.session().empty()) {
    session = session_of(world, device, request.uid(), services_.clock.now());
  } else if (const auto found = world.sessions.find(SessionId(request.session()));
             found != world.sessions.end()) {
    const bool theirs = found->second.device == device && found->second.uid == request.uid();
    if (theirs) session = &found->second;
  }
  wire::ToNode out;
  out.mutable_logout()->set_request(request.request());
  if (session == nullptr) {
    out.mutable_logout()->set_reason("you are not signed in on this device");
    return done(std::move(out));
  }
  services_.identity->log_out(session->id, "device:" + device.value, "signed out",
                              [out, done = std::move(done)](Result<> closed) mutable {
                                out.mutable_logout()->set_ok(closed.has_value());
                                if (!closed) out.mutable_logout()->set_reason(closed.error().what);
                                done(std::move(out));
                              });
}

void NodeRequests::status(const DeviceId& device, const wire::StatusRequest& request, Done done) {
  wire::ToNode out;
  wire::StatusAnswer& answer = *out.mutable_status();
  answer.set_request(request.request());
  const policy::World& world = services_.log.world();
  const policy::Session* session = session_of(world, device, request.uid(), services_.clock.now());
  if (session != nullptr) {
    answer.set_signed_in(true);
    answer.set_session(session->id.value);
    answer.set_ends_at_us(to_us(session->ends_at));
    if (const auto user = world.users.find(session->user); user != world.users.end()) {
      answer.set_user(user->second.name);
    }
  }
  // Evaluating is what costs; who asks too often gets the rest.
  if (statuses_.take(device.value, request_now())) {
    fill_reach(device, session != nullptr ? policy::PrincipalRef(session->id) : policy::PrincipalRef(device),
               answer);
  } else {
    services_.metrics.count("requests_limited", "status");
  }
  done(std::move(out));
}

void NodeRequests::why(const DeviceId& device, const wire::WhyRequest& request, Done done) {
  wire::ToNode out;
  wire::WhyAnswer& answer = *out.mutable_why();
  answer.set_request(request.request());
  if (!questions_.take(device.value, request_now())) {
    services_.metrics.count("requests_limited", "why");
    answer.set_answer("too many questions from this device");
    answer.set_retry_after_ms(
        static_cast<std::uint32_t>(questions_.wait(device.value, request_now()).count()));
    return done(std::move(out));
  }
  const policy::World& world = services_.log.world();
  const Timestamp now = services_.clock.now();
  const policy::Query query{.principal = principal_of(world, device, request.uid(), now),
                            .target = find_target(world, request.target()),
                            .protocol = static_cast<std::uint8_t>(request.protocol()),
                            .port = static_cast<std::uint16_t>(request.port())};
  tell(policy::evaluate(world, query, now), answer);
  done(std::move(out));
}

}  // namespace cordon::controller
