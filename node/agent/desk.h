#pragma once
// Answers what people ask over the local socket: relays to the controller, waits for what a login brings, and
// says what it can by itself when no controller is there.

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/rate_limit.h"
#include "base/time.h"
#include "node/agent/desk_flows.h"
#include "node/local/request.h"
#include "policy/node_state.h"

namespace boost::asio {
class io_context;
}
namespace cordon::wire {
class LoginAnswer;
class ToController;
class ToNode;
}  // namespace cordon::wire

namespace cordon::node {

/// What `cordon status` shows of the node itself.
struct NodeView {
  std::string device;
  bool connected = false;
  std::string controller;
  Timestamp since{};
  Revision revision;
  Timestamp leases_end{}, node_lease_end{};
  std::string interface, backend;
  struct Peer {
    std::string device, endpoint;
    std::int64_t handshake_age_s = -1;
  };
  std::vector<Peer> peers;
  std::vector<std::string> alarms;
};

/// The desk's window on the agent.
class DeskBackend {
 public:
  virtual ~DeskBackend() = default;
  virtual NodeView view() const = 0;
  virtual const policy::NodeState& state() const = 0;
  /// When a lease of so many seconds ends, counted from the last confirmation.
  virtual Timestamp lease_end(Seconds lease) const = 0;
  virtual bool send(const wire::ToController& message) = 0;
  /// False for root and system uids: what they send is the device's, a session would be nobody's.
  virtual bool is_person(std::uint32_t) const { return true; }
  virtual const FlowHistory& history() const = 0;
  virtual std::string view_name() const = 0;  ///< this device's
  virtual Result<NodeCounts> counts() const = 0;
};

struct DeskLimits {
  std::chrono::milliseconds answer{5'000};   ///< of the controller to status and why
  std::chrono::milliseconds login{20'000};   ///< hashing takes its time, and a controller may be slowing down
  std::chrono::milliseconds applied{2'000};  ///< for the state that holds the new session
  std::size_t waiting = 256;
  /// Of what is asked of the controller, by uid: half of what it takes from a device, so that one person
  /// leaves the others room (controller/distribution/limits.h).
  RateLimitSpec of_one{.burst = 15, .per_second = 3, .keys = 1024};
};

class Desk {
 public:
  using Reply = std::function<void(std::string)>;

  Desk(boost::asio::io_context& io, DeskLimits limits, DeskBackend& backend);
  ~Desk();
  Desk(const Desk&) = delete;
  Desk& operator=(const Desk&) = delete;

  void take(const local::Request& request, const local::Caller& caller, Reply reply);
  /// LoginAnswer, LogoutAnswer, WhyAnswer, StatusAnswer; true when it was one.
  bool answered(const wire::ToNode& message);
  void state_changed();
  void disconnected();
  /// There are new flows in the history.
  void flows_came() { flows_.came(); }

 private:
  struct Waiting;
  using Answered = std::function<void(const wire::ToNode*)>;  ///< null: none came

  void ask(wire::ToController message, std::uint64_t request, std::chrono::milliseconds limit, Answered then);
  void log_in(const local::Login& login, const local::Caller& caller, Reply reply);
  void logged_in(const wire::LoginAnswer& answer, Reply reply);
  void log_out(const local::Caller& caller, Reply reply);
  void status(const local::Caller& caller, Reply reply);
  void why(const local::Why& why, const local::Caller& caller, Reply reply);
  /// Until this uid may ask the controller again; zero: now, and it counts.
  std::chrono::milliseconds wait_of(std::uint32_t uid);
  void finish(std::uint64_t request, const wire::ToNode* answer);

  boost::asio::io_context& io_;
  DeskLimits limits_;
  DeskBackend& backend_;
  DeskFlows flows_;
  RateLimiter asked_;
  std::uint64_t next_request_ = 1;
  std::map<std::uint64_t, std::unique_ptr<Waiting>> waiting_;
  struct Arrival;  ///< a login that waits for its session's state
  std::map<std::uint64_t, std::unique_ptr<Arrival>> arrivals_;
};

}  // namespace cordon::node
