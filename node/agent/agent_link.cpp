// The agent's side of the session: what it says, and what it does with what it hears.

#include <unistd.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include "base/log.h"
#include "node/agent/agent.h"
#include "node/agent/check_report.h"
#include "node/link/tls.h"
#include "proto/codec.h"
#include "proto/cordon.pb.h"
#include "proto/features.h"

namespace cordon::node {
namespace {

constexpr std::string_view kLinkArea = "node.link";
constexpr std::size_t kMostBeats = 16;
constexpr std::chrono::milliseconds kLeastBeat{500};

std::map<DeviceId, Endpoint> decode(const wire::Endpoints& message) {
  std::map<DeviceId, Endpoint> hints;
  for (const auto& peer : message.peers())
    if (const auto endpoint = wire::decode_endpoint(peer.endpoint()))
      hints.insert_or_assign(DeviceId{peer.device()}, *endpoint);
  return hints;
}

std::set<DeviceId> to_begin_with(const wire::Endpoints& message) {
  std::set<DeviceId> out;
  for (const auto& peer : message.peers())
    if (peer.begin()) out.insert(DeviceId{peer.device()});
  return out;
}

}  // namespace

Result<Credentials> Agent::credentials() {
  return Credentials{
      .certificate_pem = identity_.certificate_pem, .key = keys_.device, .roots_pem = identity_.trust_pem};
}

void Agent::fill_hello(wire::Hello& hello) {
  hello.set_version(CORDON_VERSION);
  for (const std::string_view feature : wire::kFeatures) hello.add_features(std::string(feature));
  hello.set_boot_id(parts_.boot_id);
  if (const auto& seen = heads_.seen()) {
    hello.set_seen_revision(seen->revision.value);
    hello.set_seen_hash(seen->hash.data(), seen->hash.size());
  }
  if (states_.holds()) {
    hello.set_applied_sequence(states_.sequence());
    hello.set_state_digest(states_.digest().data(), states_.digest().size());
  }
  hello.set_wireguard_port(parts_.config.listen_port);
  for (const Endpoint& endpoint : parts_.config.advertise)
    wire::encode_endpoint(endpoint, hello.add_advertise());
  for (const Prefix& subnet : parts_.config.gateway_subnets)
    wire::encode_prefix(subnet, hello.add_gateway_subnets());
  auto& sizes = *hello.mutable_map_sizes();
  sizes["principals"] = parts_.config.sizes.principals;
  sizes["targets"] = parts_.config.sizes.targets;
  sizes["grants"] = parts_.config.sizes.grants;
  sizes["grant_ranges"] = parts_.config.sizes.grant_ranges;
  sizes["flows"] = parts_.config.sizes.flows;
  sizes["rule_counters"] = parts_.config.sizes.rule_counters;
}

void Agent::fill_heartbeat(wire::Heartbeat& heartbeat) {
  beats_.push_back(heartbeat.sent_boot_ns());
  if (beats_.size() > kMostBeats) beats_.pop_front();
  auto& counters = *heartbeat.mutable_counters();
  if (const auto drops = parts_.filter.drop_counters())
    for (const auto& [reason, counter] : *drops) counters[reason] = counter.packets;
  counters["events lost"] = parts_.filter.events_lost() + flows_.lost();
  report_counts(heartbeat);
  std::map<WireguardKey, DeviceId> names;
  for (const auto& [device, peer] : applier_.peers()) names.emplace(applier_.key_of(device, peer), device);
  if (const auto peers = parts_.tunnel.peers()) {
    for (const PeerStatus& peer : *peers) {
      const auto name = names.find(peer.public_key);
      if (name == names.end() || !peer.endpoint || !peer.handshake_age) continue;
      auto& observation = *heartbeat.add_peers();
      observation.set_device(name->second.value);
      wire::encode_endpoint(*peer.endpoint, observation.mutable_endpoint());
      observation.set_last_handshake_age_s(peer.handshake_age->count());
    }
  }
  report_checks(heartbeat);
  activity_.tell(heartbeat, parts_.clock.boot_ns());
  for (const std::string& alarm : alarms()) heartbeat.add_alarms(alarm);
}

Result<NodeCounts> Agent::counts() const {
  NodeCounts counts{.events_lost = parts_.filter.events_lost() + flows_.lost()};
  CORDON_ASSIGN(counts.rules, parts_.filter.rule_counters());
  CORDON_ASSIGN(counts.reasons, parts_.filter.drop_counters());
  return counts;
}

void Agent::report_counts(wire::Heartbeat& heartbeat) {
  const auto counts = this->counts();
  if (!counts) return;
  auto& counted = *heartbeat.mutable_counted();
  for (const auto& [rule, counter] : counts->rules) {
    auto [told, first] = told_rules_.try_emplace(rule, 0);
    if (!first && told->second == counter.packets) continue;
    told->second = counter.packets;
    auto& out = *counted.add_rules();
    out.set_rule(rule.value);
    out.set_packets(counter.packets);
    out.set_bytes(counter.bytes);
  }
  for (const auto& [reason, counter] : counts->reasons) {
    if (counter.packets == 0) continue;
    auto& out = *counted.add_reasons();
    out.set_reason(reason);
    out.set_packets(counter.packets);
    out.set_bytes(counter.bytes);
  }
}

/// What can't be read is not reported: after the policy's time the controller knows nothing of this machine.
void Agent::report_checks(wire::Heartbeat& heartbeat) {
  if (parts_.config.health_report.empty()) return;
  const auto passing = read_check_report(parts_.config.health_report, parts_.config.health_max_age,
                                         parts_.clock.now(), ::geteuid());
  health_alarm_ = passing ? "" : "health is not reported: " + passing.error().message();
  if (!passing) return;
  auto& report = *heartbeat.mutable_checks();
  for (const std::string& name : *passing) report.add_passing(name);
}

void Agent::connected(const wire::Welcome& welcome, BootNs sent_boot_ns) {
  link_alarm_.clear();
  controller_ = welcome.controller();
  connected_since_ = parts_.clock.now();
  told_interval_ = std::chrono::milliseconds(welcome.heartbeat_interval_ms());
  beats_.clear();
  told_rules_.clear();
  states_.begin_session();
  const auto knows = [&](std::string_view feature) {
    return std::ranges::find(welcome.features(), feature) != welcome.features().end();
  };
  controller_turns_keys_ = knows(wire::kFeatureKeys1);
  flows_.begin_session(knows(wire::kFeatureFlows1));
  observe_time(sent_boot_ns, from_us(welcome.controller_time_us()));
  if (welcome.has_head()) states_.take_head(welcome.head());
  log::info(kLinkArea, "session with {}", controller_);
  tell_keys();
}

void Agent::disconnected(const Error& why) {
  // A controller that stays away is one line in the log, not one a second.
  if (link_alarm_.empty()) log::warning(kLinkArea, "{}", why.message());
  link_alarm_ = "no controller: " + why.what;
  waiting_.clear();
  connected_since_ = {};
  desk_.disconnected();
}

void Agent::observe_time(BootNs sent, Timestamp controller_time) {
  if (time_.observe(sent, parts_.clock.boot_ns(), controller_time) != TimeKeeper::Change::moved) return;
  rewrite_waits_ = states_.busy();
  if (rewrite_waits_) return;
  rewrite_deadlines();
}

void Agent::rewrite_deadlines() {
  log::warning(kLinkArea, "the controller's clock was set; deadlines are written again");
  if (const auto done = states_.rewrite(); !done) {
    // Nothing is held any more: the next session brings a whole state.
    log::error(kLinkArea, "deadlines are not written: {}", done.error().message());
    session_.reconnect();
  }
}

void Agent::received(const wire::ToNode& message) {
  // A turn of keys can't wait; everything else keeps its order.
  if (states_.busy() && message.body_case() != wire::ToNode::kKeyTurns) {
    waiting_.push_back(std::make_shared<const wire::ToNode>(message));
    return;
  }
  switch (message.body_case()) {
    case wire::ToNode::kBegin:
    case wire::ToNode::kPart:
    case wire::ToNode::kEnd:
    case wire::ToNode::kDelta:
      return take_state(message);
    case wire::ToNode::kHeartbeat:
      return heartbeat_answered(message);
    case wire::ToNode::kEndpoints:
      return endpoints_told(message);
    case wire::ToNode::kControllers:
      return controllers_told(message);
    case wire::ToNode::kFlowAck:
      flows_.acked(message.flow_ack().sequence());
      return send_flows();
    case wire::ToNode::kRenewed:
      return renewed(message);
    case wire::ToNode::kKeyOrder:
      return key_ordered(message);
    case wire::ToNode::kPresharedKeys:
      return preshared_told(message);
    case wire::ToNode::kKeyTurns:
      return watch_turns(true);
    default:
      break;
  }
  if (!desk_.answered(message)) log::warning(kLinkArea, "the controller sent a message out of turn");
}

void Agent::take_state(const wire::ToNode& message) {
  const bool acked = states_.acked_in_session();
  const std::uint64_t applied = states_.applied();
  std::optional<wire::ToController> answer;
  states_.take(message, answer);
  if (states_.busy()) return write_beside();
  state_taken(applied, acked, answer);
}

void Agent::write_beside() {
  writing_.run([this, work = boost::asio::make_work_guard(parts_.io)] {
    states_.write();
    boost::asio::post(parts_.io, [this, weak = std::weak_ptr(alive_)] {
      if (!weak.expired()) written_beside();
    });
  });
}

void Agent::written_beside() {
  writing_.wait();
  const bool acked = states_.acked_in_session();
  const std::uint64_t applied = states_.applied();
  std::optional<wire::ToController> answer;
  auto done = states_.written(answer);
  writing_.run([done = std::move(done)]() mutable { done.reset(); });
  state_taken(applied, acked, answer);
  if (std::exchange(rewrite_waits_, false)) rewrite_deadlines();
  if (std::exchange(network_waits_, false)) keep_network();
  for (const auto& message : std::exchange(waiting_, {})) received(*message);
}

void Agent::state_taken(std::uint64_t applied, bool acked, const std::optional<wire::ToController>& answer) {
  const bool changed = states_.applied() != applied;
  if (changed) {
    keep_guard();
    saver_.changed(states_.last_changes());
  }
  if (answer) session_.send(*answer);
  if (!changed) return;
  settle();
  save_head();
  const auto third = std::chrono::milliseconds(states_.shortest_lease()) / 3;
  session_.set_heartbeat_interval(std::min(told_interval_, std::max(kLeastBeat, third)));
  // The first state of a session has leases that nobody confirmed yet.
  if (!acked && states_.acked_in_session()) session_.beat();
  desk_.state_changed();
  watch_turns(false);
}

void Agent::heartbeat_answered(const wire::ToNode& message) {
  const wire::HeartbeatAnswer& answer = message.heartbeat();
  const auto sent = std::ranges::find(beats_, answer.echo_boot_ns());
  if (sent == beats_.end())
    return log::warning(kLinkArea, "the controller answered a heartbeat that was not sent");
  beats_.erase(beats_.begin(), sent + 1);
  observe_time(answer.echo_boot_ns(), from_us(answer.controller_time_us()));
  // Leases follow a log that we believe and a state that the controller knows we hold.
  const bool believed = answer.has_head() && states_.take_head(answer.head());
  save_head();
  if (!answer.confirm() || !believed || !states_.acked_in_session()) return;
  const auto confirmed = parts_.filter.confirm(answer.echo_boot_ns());
  if (!confirmed) return log::error(kLinkArea, "can't renew leases: {}", confirmed.error().message());
  confirmed_ = answer.echo_boot_ns();
}

void Agent::endpoints_told(const wire::ToNode& message) {
  const wire::Endpoints& told = message.endpoints();
  const auto set = applier_.set_endpoint_hints(decode(told), to_begin_with(told));
  if (!set) log::warning(kLinkArea, "can't use the peers' endpoints: {}", set.error().message());
}

void Agent::controllers_told(const wire::ToNode& message) {
  const Standing& standing = states_.standing();
  Result<> done =
      controllers_.take(message.controllers(), session_.controller(),
                        {.roots_pem = standing.roots_pem, .domain = standing.domain}, parts_.clock.now());
  if (done) done = parts_.filter.set_controllers(controllers_.allowed());
  session_.set_controllers(controllers_.tried(parts_.filter.contained()));
  if (done) done = applier_.set_controllers(controllers_.tried(false));
  controllers_alarm_ = done ? "" : "the controllers' addresses: " + done.error().message();
  if (!done) log::error(kLinkArea, "{}", controllers_alarm_);
}

void Agent::renewed(const wire::ToNode& message) {
  const auto taken = renewal_.take(message.renewed(), identity_);
  if (!taken) return log::error(kLinkArea, "the certificate was not renewed: {}", taken.error().message());
  stand(identity_);
  log::info(kLinkArea, "the certificate was renewed");
}

void Agent::tell_keys() {
  if (!controller_turns_keys_ || rotation_.unsettled()) return;
  wire::ToController message;
  rotation_.tell(*message.mutable_tunnel_keys());
  session_.send(message);
}

/// Whatever comes of it, the controller is told which keys there are; of a turn, once the tunnel has it.
void Agent::key_ordered(const wire::ToNode& message) {
  const std::string& turn_to = message.key_order().turn_to();
  Result<> done;
  if (turn_to.empty()) {
    done = rotation_.make_next();
  } else {
    WireguardKey next{};
    std::ranges::copy(as_bytes(turn_to), next.begin());
    const auto turned = rotation_.turn_to(next);
    if (turned && *turned) return settle_key_soon();
    if (!turned) done = std::unexpected(turned.error());
  }
  if (!done) log::error(kLinkArea, "the WireGuard key doesn't change: {}", done.error().message());
  tell_keys();
}

void Agent::preshared_told(const wire::ToNode& message) {
  const auto taken = preshared_.take(message.preshared_keys(), rotation_.all());
  if (!taken) log::error(kLinkArea, "preshared keys are not kept: {}", taken.error().message());
  if (taken && !*taken) return;
  const auto used = applier_.use_preshared(preshared_.of(rotation_.own()), true);
  if (!used) log::warning(kLinkArea, "can't use the preshared keys: {}", used.error().message());
}

Result<wire::ToController> Agent::renewal() {
  wire::ToController message;
  CORDON_TRY(renewal_.ask(identity_, *message.mutable_renew()));
  return message;
}

Timestamp Agent::lease_end(Seconds lease) const {
  if (confirmed_ == 0 || !time_.known()) return {};
  return time_.base().to_utc(confirmed_) + lease;
}

NodeView Agent::view() const {
  NodeView view;
  view.device = identity_.device.value;
  view.connected = session_.connected();
  view.controller = controller_;
  view.since = connected_since_;
  view.revision = states_.revision();
  if (const auto* settings = state().settings()) view.node_lease_end = lease_end(settings->node_lease);
  if (states_.shortest_lease() != Seconds::max()) view.leases_end = lease_end(states_.shortest_lease());
  view.interface = parts_.config.interface;
  view.backend = parts_.tunnel.backend() == Backend::kernel ? "kernel" : "userspace";
  std::map<WireguardKey, PeerStatus> known;
  if (const auto peers = parts_.tunnel.peers())
    for (const PeerStatus& peer : *peers) known.emplace(peer.public_key, peer);
  for (const auto& [device, value] : applier_.peers()) {
    auto& peer = view.peers.emplace_back();
    peer.device = device.value;
    const auto status = known.find(applier_.key_of(device, value));
    if (status == known.end()) continue;
    if (status->second.endpoint) peer.endpoint = status->second.endpoint->to_string();
    if (status->second.handshake_age) peer.handshake_age_s = status->second.handshake_age->count();
  }
  view.alarms = alarms();
  return view;
}

}  // namespace cordon::node
