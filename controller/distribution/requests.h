#pragma once
// What a node asks for its people: to sign in and out, what they may reach, and why not. On the strand.

#include <functional>
#include <memory>

#include "controller/distribution/limits.h"
#include "controller/distribution/state_source.h"
#include "policy/evaluate.h"

namespace cordon::wire {
class LoginRequest;
class LogoutRequest;
class StatusRequest;
class ToNode;
class WhyRequest;
}  // namespace cordon::wire

namespace cordon::controller {

struct Services;

class NodeRequests : public std::enable_shared_from_this<NodeRequests> {
 public:
  using Done = std::function<void(wire::ToNode)>;
  /// Calls back once the nodes that a session's opening concerns have acked it, or after a while.
  using Settle = std::function<void(const SessionId&, std::function<void()>)>;
  NodeRequests(Services& services, const DistributionLimits& limits, const StateSource& states,
               Settle settle);

  void login(const DeviceId& device, const wire::LoginRequest& request, Done done);
  void logout(const DeviceId& device, const wire::LogoutRequest& request, Done done);
  void status(const DeviceId& device, const wire::StatusRequest& request, Done done);
  /// Only rules that already select the asker are told; for everything else, unknown targets too, the answer
  /// is one and the same.
  void why(const DeviceId& device, const wire::WhyRequest& request, Done done);

 private:
  template <class Reachable>
  void fill_reach(const DeviceId& device, const policy::PrincipalRef& principal, Reachable& out) const;

  Services& services_;
  const StateSource& states_;
  Settle settle_;
  RateLimiter questions_;
  RateLimiter statuses_;
};

}  // namespace cordon::controller
