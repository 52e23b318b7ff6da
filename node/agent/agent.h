#pragma once
// The heart of the node: one thread, one io_context. It brings together the session with the controller, the
// states that come over it, the kernel that holds them, and the people who ask.

#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "node/agent/activity.h"
#include "node/agent/applier.h"
#include "node/agent/config.h"
#include "node/agent/controllers.h"
#include "node/agent/desk.h"
#include "node/agent/flow_buffer.h"
#include "node/agent/flow_history.h"
#include "node/agent/guard_file.h"
#include "node/agent/identity.h"
#include "node/agent/interfaces.h"
#include "node/agent/people_watch.h"
#include "node/agent/preshared.h"
#include "node/agent/recent_alarms.h"
#include "node/agent/renewal.h"
#include "node/agent/rotation.h"
#include "node/agent/socket_cutter.h"
#include "node/agent/state_keeper.h"
#include "node/agent/state_saver.h"
#include "node/agent/time_keeper.h"
#include "node/filter/parallel.h"
#include "node/link/head.h"
#include "node/link/session.h"
#include "node/local/server.h"

namespace cordon::node {

/// What an agent is made of; all outlive it.
struct AgentParts {
  boost::asio::io_context& io;
  const NodeConfig& config;
  const IdentityStore& store;
  Filter& filter;
  Tunnel& tunnel;
  Network& network;
  const Clock& clock;
  std::function<double()> uniform;  ///< for jitter
  SessionLimits limits{};
  std::string boot_id;   ///< of the kernel
  PeopleWatch people{};  ///< where the machine's accounts are
};

class Agent : private SessionHandler, private DeskBackend {
 public:
  /// Reads keys, identity, the head it remembers and the last state. The device is enrolled.
  static Result<std::unique_ptr<Agent>> open(AgentParts parts);
  ~Agent() override;

  /// Adopts tunnel and filter as they are, opens the local socket and the session.
  Result<> start();
  /// Ends the session and saves the state. Filter and tunnel stay as they are (I4).
  void stop();

  /// Conditions now that someone should look at.
  std::vector<std::string> alarms() const;

 private:
  Agent(AgentParts parts, Keys keys, Identity identity, HeadMemory heads, PresharedKeys preshared);
  void stand(const Identity& identity);

  // SessionHandler
  Result<Credentials> credentials() override;
  void fill_hello(wire::Hello& hello) override;
  void fill_heartbeat(wire::Heartbeat& heartbeat) override;
  void connected(const wire::Welcome& welcome, BootNs sent_boot_ns) override;
  void received(const wire::ToNode& message) override;
  void disconnected(const Error& why) override;
  Result<wire::ToController> renewal() override;

  // DeskBackend
  NodeView view() const override;
  const policy::NodeState& state() const override { return states_.state(); }
  Timestamp lease_end(Seconds lease) const override;
  bool send(const wire::ToController& message) override { return session_.send(message); }
  bool is_person(std::uint32_t uid) const override;
  const FlowHistory& history() const override { return history_; }
  std::string view_name() const override { return identity_.device.value; }
  Result<NodeCounts> counts() const override;

  /// After a boot the filter is empty: what was guarded is not open until the controller speaks. The overlay
  /// stays shut, as nothing is granted or confirmed.
  void guard_as_before();
  /// Before a state is acknowledged: the next boot finds the underlay guarded as it is now.
  void keep_guard();
  /// After a state was applied: the interfaces of the guard, and cut flows' sockets.
  void settle();
  /// While this host is isolated: peers that moved are found.
  void follow_isolation();
  /// What is behind gateways, and whether the kernel forwards for one that this host is.
  void follow_gateways();
  /// After addresses, rules or routes of this host changed.
  void keep_network();
  /// The machine's accounts, when node.toml doesn't say whose uids are people's.
  void follow_people();
  void report_checks(wire::Heartbeat& heartbeat);
  void observe_time(BootNs sent, Timestamp controller_time);
  void rewrite_deadlines();
  void heartbeat_answered(const wire::ToNode& message);
  void take_state(const wire::ToNode& message);
  /// A large state that came is written in a thread; what the controller says meanwhile waits.
  void write_beside();
  void written_beside();
  /// After states_ took something: `applied` and `acked` are from before.
  void state_taken(std::uint64_t applied, bool acked, const std::optional<wire::ToController>& answer);
  void endpoints_told(const wire::ToNode& message);
  void controllers_told(const wire::ToNode& message);
  void renewed(const wire::ToNode& message);
  void key_ordered(const wire::ToNode& message);
  void preshared_told(const wire::ToNode& message);
  void tell_keys();

  // Once a second, and when the kernel has something to say.
  void tick();
  void supervise_tunnel();
  void renew_if_due();
  void rotate_if_due();
  void settle_key();
  void take_events();
  void send_flows();
  void report_counts(wire::Heartbeat& heartbeat);
  void save_head();
  /// While peers turn to other keys they are watched; `now`: some do so in this moment.
  void watch_turns(bool now);
  void settle_key_soon();
  class Watches;

  AgentParts parts_;
  std::vector<UidRange> people_;
  PeopleWatch people_watch_;
  Keys keys_;
  Identity identity_;
  Controllers controllers_;
  HeadMemory heads_;
  PresharedKeys preshared_;
  Rotation rotation_;
  TimeKeeper time_;
  Applier applier_;
  StateKeeper states_;
  StateSaver saver_;
  Interfaces interfaces_;
  GuardFile guard_file_;
  Renewal renewal_;
  FlowBuffer flows_;
  FlowHistory history_;
  std::map<RuleId, std::uint64_t> told_rules_;  ///< in this session: packets
  Activity activity_;
  Session session_;
  Desk desk_;
  local::Server server_;
  std::unique_ptr<Watches> watches_;

  std::string controller_;
  bool controller_turns_keys_ = false;
  Timestamp connected_since_{};
  std::chrono::milliseconds told_interval_{10'000};
  std::deque<BootNs> beats_;  ///< sent in this session and not answered
  BootNs confirmed_ = 0;      ///< 0: never by this process
  RecentAlarms filter_alarms_, tunnel_alarms_, network_alarms_;
  bool tunnel_is_bare_ = false;  ///< made anew, and not set up since
  std::string tunnel_alarm_, key_alarm_, link_alarm_, head_alarm_, guard_alarm_, health_alarm_,
      controllers_alarm_, network_alarm_, people_alarm_, peers_alarm_, gateways_alarm_;
  std::vector<std::string> forwarding_alarms_;
  unsigned ticks_ = 0;
  bool contained_ = false;  ///< as the interfaces were attached last
  std::uint64_t cuts_ = 0;  ///< StateKeeper::cuts() when sockets were looked at
  SocketCutter sockets_;
  std::deque<std::shared_ptr<const wire::ToNode>> waiting_;  ///< what came while states_ was busy
  bool rewrite_waits_ = false, network_waits_ = false;
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);  ///< for handlers that come late
  Beside writing_;  // last: waits for the write before what it uses goes
};

}  // namespace cordon::node
