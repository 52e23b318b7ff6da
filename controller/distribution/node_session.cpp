#include "controller/distribution/node_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/log.h"
#include "controller/core/change_log.h"
#include "controller/core/config.h"
#include "controller/core/metrics.h"
#include "controller/distribution/controllers_told.h"
#include "controller/distribution/hub.h"
#include "controller/distribution/wire_head.h"
#include "proto/codec.h"
#include "proto/features.h"
#include "proto/frame.h"

namespace cordon::controller {

namespace {
constexpr std::string_view kSessionArea = "controller.nodes";
constexpr int kEndpointsAMessage = 1000;

NodeSession::Time session_now() {
  return NodeSession::Time::clock::now();
}

std::uint32_t to_u32(std::chrono::milliseconds duration) {
  return static_cast<std::uint32_t>(duration.count());
}

void forget_next_key(policy::Value& value) {
  if (auto* peer = std::get_if<policy::PeerValue>(&value)) peer->next_key.reset();
}
}  // namespace

NodeSession::NodeSession(Hub& hub, DeviceId device, Bytes key_der, std::shared_ptr<NodeLink> link)
    : hub_(hub),
      device_(std::move(device)),
      key_der_(std::move(key_der)),
      link_(std::move(link)),
      feed_(hub.limits()),
      heard_at_(session_now()),
      wake_(hub.services().strand),
      drained_(hub.services().strand) {}

void NodeSession::start(const wire::Hello& hello, const policy::NodeState& whole, Revision revision) {
  const auto knows = [&](std::string_view feature) {
    return std::ranges::find(hello.features(), feature) != hello.features().end();
  };
  boot_id_ = hello.boot_id();
  knows_next_keys_ = knows(wire::kFeatureKeys1);
  std::optional<policy::NodeState> less;
  if (!knows_next_keys_) {
    less = whole;
    for (auto& [key, value] : less->entries) forget_next_key(value);
  }
  const policy::NodeState& wanted = less ? *less : whole;
  Services& services = hub_.services();
  begun_ = revision;
  interval_ = heartbeat_interval(services.log.world());
  const Sha256 digest = policy::digest(wanted).value();
  const bool holds_it = hello.applied_sequence() != 0 && hello.state_digest() == as_text(digest);
  for (auto it = wanted.entries.lower_bound(policy::PeerKey{}); it != wanted.entries.end(); ++it) {
    const auto* peer = std::get_if<policy::PeerKey>(&it->first);
    if (peer == nullptr) break;
    added_.insert(peer->device);
    if (!holds_it) hub_.meetings().added(device_, peer->device, revision);
    if (knows_next_keys_) keyed_.insert(peer->device);
  }
  feed_.start(wanted, holds_it, revision, session_now());
  if (hello.seen_revision() > services.log.head().revision.value) {
    services.metrics.count("nodes_ahead");
    log::error(kSessionArea,
               "{} has seen revision {}, the log ends at {}: the log was cut or another one is in its place",
               device_.value, hello.seen_revision(), services.log.head().revision.value);
  }
  wire::ToNode out;
  wire::Welcome& welcome = *out.mutable_welcome();
  welcome.set_controller(services.config.name);
  for (const std::string_view feature : wire::kFeatures) welcome.add_features(std::string(feature));
  welcome.set_echo_boot_ns(hello.sent_boot_ns());
  welcome.set_controller_time_us(to_us(services.clock.now()));
  welcome.set_heartbeat_interval_ms(to_u32(interval_));
  encode_head(services.log.head(), welcome.mutable_head());
  write(out);  // before anything else
  // Ahead of its state, unless that takes something away.
  if (wire::ToNode told; knows(wire::kFeatureControllers1) &&
                         sign_controllers(services.config, services.authority, services.clock.now(), told))
    answer(told);
}

boost::asio::awaitable<void> NodeSession::ready_to_read() {
  const auto self = shared_from_this();
  while (!closed() && answers_.size() + asked_ >= hub_.limits().answers) {
    drained_.expires_at(Time::max());
    boost::system::error_code ignored;
    co_await drained_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
  }
}

void NodeSession::receive(const wire::ToController& message) {
  if (closed()) return;
  switch (message.body_case()) {
    case wire::ToController::kAck:
      return take_ack(message.ack());
    case wire::ToController::kNack:
      return take_nack(message.nack());
    case wire::ToController::kHeartbeat:
      return take_heartbeat(message.heartbeat());
    case wire::ToController::kTunnelKeys:
      return take_keys(message.tunnel_keys());
    case wire::ToController::kFlows:
      return take_flows(message.flows());
    case wire::ToController::kRenew:
    case wire::ToController::kLogin:
    case wire::ToController::kLogout:
    case wire::ToController::kWhy:
    case wire::ToController::kStatus:
      return take_request(message);
    default:
      hub_.services().metrics.count("protocol_errors", "out_of_turn");
      return close("a message that has no place in a session");
  }
}

void NodeSession::take_ack(const wire::Ack& ack) {
  const auto receipt = feed_.ack(ack, device_, key_der_, session_now());
  Metrics& metrics = hub_.services().metrics;
  if (receipt) {
    metrics.count("acks");
    hub_.acked(*this, *receipt);
    return pump();
  }
  // Acks that crossed a NACK of ours or a new state are in order.
  if (receipt.error().code == ErrorCode::not_found) return metrics.count("acks_stale");
  metrics.count("acks_refused");
  log::warning(kSessionArea, "{}: {}", device_.value, receipt.error().message());
  if (receipt.error().code != ErrorCode::conflict) return close(receipt.error().what);
  hub_.nacked(*this, receipt.error().what);
  arm();
}

void NodeSession::take_nack(const wire::Nack& nack) {
  if (!feed_.nack(nack.sequence(), session_now())) return;
  hub_.services().metrics.count("nacks");
  log::warning(kSessionArea, "{} refused sequence {}: {}", device_.value, nack.sequence(), nack.reason());
  hub_.nacked(*this, nack.reason());
  arm();
}

/// Leases are renewed only while the log can be read and the node does what it is told (I5).
bool NodeSession::confirms() const {
  const auto owes = feed_.owes_since();
  return hub_.services().log.storage_is_fresh() &&
         !(owes && session_now() - *owes > hub_.limits().confirm_overdue);
}

/// What it told before stands until it tells it again.
void NodeSession::take_counted(const wire::Counted& counted, NodeStatus& facts) {
  constexpr std::size_t kMostRules = 65'536, kMostReasons = 1'024;
  for (const wire::RuleCount& rule : counted.rules())
    if (facts.rules.size() < kMostRules || facts.rules.contains(RuleId(rule.rule())))
      facts.rules[RuleId(rule.rule())] = {.packets = rule.packets(), .bytes = rule.bytes()};
  for (const wire::ReasonCount& reason : counted.reasons())
    if (facts.reasons.size() < kMostReasons || facts.reasons.contains(reason.reason()))
      facts.reasons[reason.reason()] = {.packets = reason.packets(), .bytes = reason.bytes()};
}

void NodeSession::take_heartbeat(const wire::Heartbeat& heartbeat) {
  heard_at_ = session_now();
  Services& services = hub_.services();
  const Timestamp now = services.clock.now();
  NodeStatus& facts = hub_.facts(device_);
  facts.last_heartbeat = now;
  facts.alarms.assign(heartbeat.alarms().begin(), heartbeat.alarms().end());
  facts.counters.clear();
  for (const auto& [name, value] : heartbeat.counters()) facts.counters.emplace(name, value);
  take_counted(heartbeat.counted(), facts);
  for (const wire::PeerObservation& peer : heartbeat.peers()) take_observation(peer);
  if (heartbeat.has_checks()) {
    const auto& passing = heartbeat.checks().passing();
    hub_.reports().report_facts(device_, {passing.begin(), passing.end()});
  }
  for (const wire::SessionActivity& told : heartbeat.sessions())
    hub_.idle().heard(device_, SessionId(told.session()), Seconds(told.silent_s()));
  wire::ToNode out;
  wire::HeartbeatAnswer& answer = *out.mutable_heartbeat();
  answer.set_echo_boot_ns(heartbeat.sent_boot_ns());
  answer.set_controller_time_us(to_us(now));
  answer.set_confirm(confirms());
  encode_head(services.log.head(), answer.mutable_head());
  if (answer.confirm()) {
    facts.leases_end = now + services.log.world().installation.node_lease;
  } else {
    services.metrics.count("heartbeats_unconfirmed");
  }
  this->answer(out);
}

/// Where a node saw a peer is told to all who know that peer: only as often as peers move, and only what
/// nodes say that are trusted.
void NodeSession::take_observation(const wire::PeerObservation& observation) {
  const DeviceId seen(observation.device());
  constexpr std::int64_t kRecentSeconds = 180;  // as long as a WireGuard session lives
  const std::int64_t age = observation.last_handshake_age_s();
  if (age < 0 || age > kRecentSeconds || !observation.has_endpoint()) return;
  if (!feed_.held().entries.contains(policy::PeerKey{seen})) return;
  const policy::World& world = hub_.services().log.world();
  const auto reporter = world.devices.find(device_);
  if (reporter == world.devices.end() || reporter->second.isolated) return;
  const auto endpoint = wire::decode_endpoint(observation.endpoint());
  if (!endpoint) return;
  const auto known = hub_.endpoints().find(seen);
  const bool differs = !known || *known != *endpoint;
  if (differs && !hub_.may_observe(device_, seen)) {
    return hub_.services().metrics.count("observations_refused");
  }
  if (hub_.endpoints().observed(seen, *endpoint)) hub_.endpoint_changed(seen, device_);
}

void NodeSession::take_flows(const wire::FlowReport& report) {
  const std::uint64_t kept =
      hub_.flows().take(device_, boot_id_, report, hub_.addresses(), hub_.services().log.world());
  if (kept != 0) flows_kept(boot_id_, kept);
}

void NodeSession::flows_kept(const std::string& boot, std::uint64_t sequence) {
  if (closed() || boot != boot_id_) return;
  wire::ToNode out;
  out.mutable_flow_ack()->set_sequence(sequence);
  answer(out);
}

void NodeSession::take_request(const wire::ToController& message) {
  ++asked_;
  const auto done = [self = shared_from_this()](const wire::ToNode& out) { self->answered(out); };
  switch (message.body_case()) {
    case wire::ToController::kLogin:
      return hub_.requests().login(device_, message.login(), done);
    case wire::ToController::kLogout:
      return hub_.requests().logout(device_, message.logout(), done);
    case wire::ToController::kWhy:
      return hub_.requests().why(device_, message.why(), done);
    case wire::ToController::kStatus:
      return hub_.requests().status(device_, message.status(), done);
    default:
      break;
  }
  hub_.enrolment().renew(device_, message.renew(), [done](const wire::RenewAnswer& renewed) {
    wire::ToNode out;
    *out.mutable_renewed() = renewed;
    done(out);
  });
}

void NodeSession::answered(const wire::ToNode& message) {
  --asked_;
  if (!closed()) answer(message);
  drained_.cancel();
}

void NodeSession::answer(const wire::ToNode& message) {
  auto frame = wire::frame(message.SerializeAsString());
  if (!frame) {
    log::error(kSessionArea, "an answer to {} doesn't fit a frame", device_.value);
    return;
  }
  answers_.push_back(std::move(*frame));
  pump();
}

void NodeSession::note_peers(const policy::NodeDelta& delta, Revision revision) {
  delta.each_plain([&](const policy::Change& change) {
    const auto* peer = std::get_if<policy::PeerKey>(&change.key);
    if (peer == nullptr) return;
    if (!change.value) {
      begins_.erase(peer->device);
      hub_.meetings().removed(device_, peer->device);
      return;
    }
    added_.insert(peer->device);
    if (!feed_.concerns(change.key)) hub_.meetings().added(device_, peer->device, revision);
    if (knows_next_keys_) keyed_.insert(peer->device);
  });
}

void NodeSession::add(const policy::NodeDelta& delta, Revision revision) {
  note_peers(delta, revision);
  if (knows_next_keys_) return feed_.add(delta, revision, session_now());
  auto less = delta.changes();
  for (policy::Change& change : less)
    if (change.value) forget_next_key(*change.value);
  feed_.add(policy::NodeDelta(std::move(less)), revision, session_now());
}

void NodeSession::tell_preshared() {
  if (!knows_next_keys_) return;
  for (auto it = feed_.held().entries.lower_bound(policy::PeerKey{}); it != feed_.held().entries.end();
       ++it) {
    const auto* peer = std::get_if<policy::PeerKey>(&it->first);
    if (peer == nullptr) break;
    keyed_.insert(peer->device);
  }
}

bool NodeSession::next_preshared(wire::ToNode& out) {
  constexpr int kPairsAMessage = 1000;
  wire::PresharedKeys& message = *out.mutable_preshared_keys();
  while (!keyed_.empty() && message.keys_size() < kPairsAMessage) {
    hub_.add_preshared(device_, *keyed_.begin(), message);
    keyed_.erase(keyed_.begin());
  }
  return message.keys_size() > 0;
}

void NodeSession::take_keys(const wire::TunnelKeys& keys) {
  const auto key_of = [](const std::string& bytes) {
    WireguardKey key{};
    std::ranges::copy(as_bytes(bytes), key.begin());
    return key;
  };
  std::optional<WireguardKey> next;
  if (!keys.next_public_key().empty()) next = key_of(keys.next_public_key());
  hub_.rotation().told(device_, key_of(keys.public_key()), next);
}

bool NodeSession::tell_endpoint(const DeviceId& peer) {
  const bool concerns = feed_.concerns(policy::PeerKey{peer});
  if (concerns) moved_.insert(peer);
  return concerns;
}

void NodeSession::begin_with(const DeviceId& peer) {
  begins_.insert(peer);
  added_.insert(peer);
}

bool NodeSession::next_endpoints(std::set<DeviceId>& devices, wire::ToNode& out) {
  out.Clear();
  wire::Endpoints& message = *out.mutable_endpoints();
  while (!devices.empty() && message.peers_size() < kEndpointsAMessage) {
    const DeviceId device = *devices.begin();
    devices.erase(devices.begin());
    const auto endpoint = hub_.endpoints().find(device);
    if (!endpoint) continue;
    wire::PeerEndpoint& peer = *message.add_peers();
    peer.set_device(device.value);
    wire::encode_endpoint(*endpoint, peer.mutable_endpoint());
    peer.set_begin(begins_.erase(device) > 0);
  }
  return message.peers_size() > 0;
}

bool NodeSession::next(wire::ToNode& out) {
  const auto next_state = [&] { return feed_.next(hub_.services().log.head(), session_now(), out); };
  if (feed_.urgent(session_now()) && next_state()) return true;
  // Endpoints before the peers they belong to: a handshake that has nowhere to go is tried again after 5 s
  // only.
  if (next_endpoints(added_, out)) return true;
  // Where peers move to is hearsay of other nodes: it takes turns with the state.
  if (std::exchange(moved_last_, false) && next_state()) return true;
  moved_last_ = next_endpoints(moved_, out);
  return moved_last_ || next_state();
}

void NodeSession::pump() {
  if (closed() || writing_) return;
  // Ahead of the peers they belong to, and of an order to turn to a key that needs them.
  if (wire::ToNode keys; next_preshared(keys)) return write(keys);
  if (!answers_.empty() && !feed_.urgent(session_now())) {
    std::string frame = std::move(answers_.front());
    answers_.pop_front();
    drained_.cancel();
    writing_ = true;
    writing_since_ = session_now();
    return link_->send(std::move(frame));
  }
  wire::ToNode out;
  if (next(out)) return write(out);
  arm();
}

void NodeSession::write(const wire::ToNode& message) {
  auto frame = wire::frame(message.SerializeAsString());
  if (!frame) {
    log::error(kSessionArea, "a message to {}: {}", device_.value, frame.error().message());
    return close("a state that doesn't fit a frame", to_u32(hub_.limits().resync_most));
  }
  writing_ = true;
  writing_since_ = session_now();
  link_->send(std::move(*frame));
}

void NodeSession::written() {
  writing_ = false;
  pump();
}

void NodeSession::arm() {
  const auto at = feed_.wake();
  if (!at || closed()) return;
  wake_.expires_at(*at);
  wake_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    if (const auto self = weak.lock(); self && !error) self->pump();
  });
}

void NodeSession::check(Time now) {
  const auto idle = std::max(interval_ * 3, hub_.limits().idle_least);
  if (now - heard_at_ > idle) {
    hub_.services().metrics.count("sessions_ended", "silent");
    return close("no heartbeat came");
  }
  if (writing_ && now - writing_since_ > hub_.limits().stalled_write) {
    hub_.services().metrics.count("sessions_ended", "stalled");
    return close("what was sent is not read");
  }
}

void NodeSession::close(std::string_view reason, std::uint32_t retry_after_ms) {
  if (closed()) return;
  log::info(kSessionArea, "{}: session ends: {}", device_.value, reason);
  wire::ToNode out;
  out.mutable_goodbye()->set_reason(std::string(reason));
  out.mutable_goodbye()->set_retry_after_ms(retry_after_ms);
  const auto link = std::exchange(link_, nullptr);
  const auto frame = wire::frame(out.SerializeAsString());
  if (frame) link->send(*frame);
  link->finish();
  wake_.cancel();
  drained_.cancel();
  hub_.ended(*this);
}

}  // namespace cordon::controller
