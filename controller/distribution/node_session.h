#pragma once
// One node's session: takes its messages, answers, and feeds it its state. On the strand.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <set>
#include <string>

#include "controller/distribution/node_link.h"
#include "controller/distribution/state_feed.h"

namespace cordon::wire {
class Ack;
class Counted;
class FlowReport;
class Heartbeat;
class Hello;
class Nack;
class PeerObservation;
class ToController;
class ToNode;
class TunnelKeys;
}  // namespace cordon::wire

namespace cordon::controller {

class Hub;
struct NodeStatus;

class NodeSession : public std::enable_shared_from_this<NodeSession> {
 public:
  using Time = StateFeed::Time;
  NodeSession(Hub& hub, DeviceId device, Bytes key_der, std::shared_ptr<NodeLink> link);

  const DeviceId& device() const { return device_; }
  const StateFeed& feed() const { return feed_; }
  /// The revision that it was first brought to.
  Revision begun() const { return begun_; }
  bool closed() const { return link_ == nullptr; }

  /// Welcomes the node, and brings it to `whole`, less what its release doesn't know.
  void start(const wire::Hello& hello, const policy::NodeState& whole, Revision revision);
  /// One message that the codec has checked. What breaks the protocol ends the session.
  void receive(const wire::ToController& message);
  /// Returns once not too many answers are queued.
  boost::asio::awaitable<void> ready_to_read();
  /// The link wrote what it was given.
  void written();

  void add(const policy::NodeDelta& delta, Revision revision);
  /// All flow reports up to this one of its boot are kept.
  void flows_kept(const std::string& boot, std::uint64_t sequence);
  void release_hold() { feed_.release(); }
  /// Sends what may be sent now.
  void pump();
  /// True: it has that peer, so there is something to be told.
  bool tell_endpoint(const DeviceId& peer);
  /// The peer holds this node: the handshake is this end's to begin.
  void begin_with(const DeviceId& peer);
  /// Preshared keys with all its peers, ahead of all that comes.
  void tell_preshared();
  /// Something that isn't part of its state.
  void tell(const wire::ToNode& message) { answer(message); }
  /// It is of a release that knows next keys and preshared ones.
  bool knows_next_keys() const { return knows_next_keys_; }
  /// Every now and then: ends the session when the node is silent or doesn't read.
  void check(Time now);
  /// Goodbye, and no more.
  void close(std::string_view reason, std::uint32_t retry_after_ms = 0);

 private:
  void take_ack(const wire::Ack& ack);
  void take_nack(const wire::Nack& nack);
  void take_heartbeat(const wire::Heartbeat& heartbeat);
  static void take_counted(const wire::Counted& counted, NodeStatus& facts);
  void take_flows(const wire::FlowReport& report);
  void take_request(const wire::ToController& message);
  void answer(const wire::ToNode& message);
  void answered(const wire::ToNode& message);
  bool next(wire::ToNode& out);
  bool next_preshared(wire::ToNode& out);
  void note_peers(const policy::NodeDelta& delta, Revision revision);
  void take_keys(const wire::TunnelKeys& keys);
  bool next_endpoints(std::set<DeviceId>& devices, wire::ToNode& out);
  void take_observation(const wire::PeerObservation& observation);
  void write(const wire::ToNode& message);
  void arm();
  bool confirms() const;

  Hub& hub_;
  const DeviceId device_;
  const Bytes key_der_;
  std::shared_ptr<NodeLink> link_;  ///< null once closed
  StateFeed feed_;
  Revision begun_;
  std::string boot_id_;
  std::deque<std::string> answers_;
  std::size_t asked_ = 0;      ///< requests that aren't answered yet
  std::set<DeviceId> added_;   ///< peers that are told of soon: where they are goes ahead of them
  std::set<DeviceId> begins_;  ///< peers with whom a handshake may begin: told with where they are
  std::set<DeviceId> keyed_;   ///< peers whose preshared keys are to be told
  bool knows_next_keys_ = false;
  std::set<DeviceId> moved_;  ///< peers that are elsewhere now
  bool moved_last_ = false;   ///< what was sent last is where peers moved to
  bool writing_ = false;
  Time writing_since_{};
  Time heard_at_{};
  std::chrono::milliseconds interval_{10'000};
  boost::asio::steady_timer wake_;
  boost::asio::steady_timer drained_;
};

}  // namespace cordon::controller
