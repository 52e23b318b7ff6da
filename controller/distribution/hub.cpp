#include "controller/distribution/hub.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>

#include "base/crypto.h"
#include "base/log.h"
#include "controller/core/change_log.h"
#include "controller/core/config.h"
#include "controller/core/metrics.h"
#include "controller/flows/flows.h"
#include "controller/world/kinds.h"
#include "proto/codec.h"
#include "proto/cordon.pb.h"
#include "proto/features.h"
#include "proto/frame.h"

namespace cordon::controller {

namespace {

constexpr std::string_view kHubArea = "controller.nodes";
constexpr std::uint32_t kBusyRetryMs = 30'000;
constexpr std::uint32_t kGoneRetryMs = 600'000;  // a device that was removed needs no haste
constexpr std::size_t kOpenedKept = 4096;
constexpr auto kExpiredServes = std::chrono::days(30);      // an expired certificate, for renewal only
constexpr auto kLongestHubSleep = std::chrono::minutes(1);  // the wall clock may be set meanwhile

template <class Kind>
const Kind* as(const Result<kinds::Kind>& kind) {
  return kind ? std::get_if<Kind>(&*kind) : nullptr;
}

void refuse_busy(NodeLink& link, const wire::ToNode& message) {
  if (const auto frame = wire::frame(message.SerializeAsString())) link.send(*frame);
  link.finish();
}

}  // namespace

Hub::Hub(Services& services, const DistributionLimits& limits, std::unique_ptr<ReceiptLedger> ledger,
         PresharedSource preshared)
    : services_(services),
      limits_(limits),
      ledger_(std::move(ledger)),
      states_(services.log.world()),
      addresses_(services.log.world()),
      flows_(services.flows, services.metrics, services.clock, limits_),
      observations_(limits_.observations),
      reports_(std::make_shared<FactIntake>(services.log, services.clock, limits_.facts, services.places)),
      idle_(std::make_shared<IdleWatch>(services.log, services.clock)),
      meetings_(static_cast<Meetings::Nodes&>(*this)),
      preshared_(preshared),
      rotation_(std::make_shared<KeyRotation>(services.log, services.metrics, services.clock,
                                              static_cast<KeyRotation::Nodes&>(*this), limits_.key_records)),
      enrolment_(std::make_shared<Enrolment>(services, limits_)),
      started_(services.clock.now()),
      tick_(services.strand),
      time_(services.strand) {
  requests_ = std::make_shared<NodeRequests>(
      services, limits_, states_,
      [this](const SessionId& session, std::function<void()> done) { settle(session, std::move(done)); });
}

void Hub::start() {
  services_.log.on_record([weak = weak_from_this()](const Record& record, const policy::World& world) {
    if (const auto self = weak.lock(); self && !self->stopped_) self->on_record(record, world);
  });
  services_.flows.on_kept([weak = weak_from_this(), strand = services_.strand](std::vector<FlowMark> marks) {
    boost::asio::post(strand, [weak, marks = std::move(marks)] {
      if (const auto self = weak.lock(); self && !self->stopped_) self->flows_kept(marks);
    });
  });
  tick();
  watch_time();
}

void Hub::flows_kept(const std::vector<FlowMark>& marks) {
  for (const FlowMark& mark : marks) {
    const auto session = sessions_.find(mark.node);
    if (flows_.kept(mark) && session != sessions_.end())
      session->second->flows_kept(mark.boot, mark.sequence);
  }
}

void Hub::stop() {
  stopped_ = true;
  tick_.cancel();
  time_.cancel();
  for (Waiter& waiter : waiters_) waiter.timer.cancel();
  const auto sessions = sessions_;  // close() takes them out
  for (const auto& [device, session] : sessions) session->close("the controller stops", 1000);
  if (const auto flushed = ledger_->flush(services_.clock.now()); !flushed) {
    log::error(kHubArea, "can't keep receipts: {}", flushed.error().message());
  }
}

Result<Admitted> Hub::admit(const Peer& peer) const {
  CORDON_ASSIGN(const crypto::CertificateInfo info, crypto::parse_certificate(peer.certificate_pem));
  const policy::World& world = services_.log.world();
  const std::string prefix = "spiffe://" + world.installation.trust_domain + "/device/";
  if (info.uris.size() != 1 || !info.uris.front().starts_with(prefix)) {
    return fail(ErrorCode::unauthorized, "the certificate names no device of this installation");
  }
  const auto found = world.devices.find(DeviceId(info.uris.front().substr(prefix.size())));
  if (found == world.devices.end())
    return fail(ErrorCode::unauthorized, "this device is not known", "enrol it");
  const policy::Device& device = found->second;
  if (device.public_key_der != info.public_key_der) {
    return fail(ErrorCode::unauthorized, "the certificate is for another key than this device's",
                "enrol it again");
  }
  if (device.state == policy::DeviceState::removed) {
    return fail(ErrorCode::forbidden, "this device was removed", "enrol it under another name");
  }
  if (device.state == policy::DeviceState::pending) {
    return fail(ErrorCode::forbidden, "this device waits for an operator's approval");
  }
  const Timestamp now = services_.clock.now();
  if (now > info.not_after + kExpiredServes) {
    return fail(ErrorCode::unauthorized, "the certificate expired more than 30 days ago",
                "enrol this device again");
  }
  return Admitted{.device = device.id, .key_der = device.public_key_der, .renew_only = now > info.not_after};
}

std::shared_ptr<NodeSession> Hub::open(const Admitted& admitted, const wire::Hello& hello, const Peer& peer,
                                       std::shared_ptr<NodeLink> link) {
  const policy::World& world = services_.log.world();
  const auto existing = sessions_.find(admitted.device);
  const auto wanted = stopped_ ? nullptr : states_.follow(admitted.device);
  if (wanted == nullptr || (existing == sessions_.end() && sessions_.size() >= services_.config.max_nodes)) {
    services_.metrics.count("nodes_refused", "busy");
    if (wanted != nullptr) away_.insert(admitted.device);
    wire::ToNode busy;
    busy.mutable_busy()->set_retry_after_ms(kBusyRetryMs);
    refuse_busy(*link, busy);
    return nullptr;
  }
  if (existing != sessions_.end()) {
    const auto old = existing->second;
    old->close("another session of this device has taken its place");
  }
  auto session = std::make_shared<NodeSession>(*this, admitted.device, admitted.key_der, std::move(link));
  sessions_[admitted.device] = session;
  away_.erase(admitted.device);
  NodeStatus& facts = this->facts(admitted.device);
  facts.connected = true;
  facts.version = hello.version();
  facts.seen_from = peer.remote;
  facts.last_nack.clear();
  facts.rules.clear();  // its first heartbeat tells all
  facts.reasons.clear();
  facts.features.emplace(hello.features().begin(), hello.features().end());
  facts.map_sizes = {hello.map_sizes().begin(), hello.map_sizes().end()};
  facts.gateway_subnets.clear();
  for (const auto& subnet : hello.gateway_subnets())
    if (const auto prefix = wire::decode_prefix(subnet)) facts.gateway_subnets.push_back(*prefix);
  services_.metrics.count("sessions");
  services_.metrics.gauge("nodes_connected", static_cast<double>(sessions_.size()));
  log::info(kHubArea, "{} connected from {}", admitted.device.value, peer.remote.to_string());
  enrolment_->forget_request(admitted.device);
  session->start(hello, *wanted, world.revision);
  learn_endpoint(admitted.device, hello, peer);
  reports_->connected(admitted.device, peer.remote.address);
  return session;
}

void Hub::learn_endpoint(const DeviceId& device, const wire::Hello& hello, const Peer& peer) {
  bool changed = false;
  if (hello.advertise_size() > 0) {
    const auto endpoint = wire::decode_endpoint(hello.advertise(0));
    changed = endpoint && endpoints_.advertised(device, *endpoint);
  } else if (hello.wireguard_port() != 0) {
    const Endpoint endpoint{peer.remote.address, static_cast<std::uint16_t>(hello.wireguard_port())};
    changed = endpoints_.connected(device, endpoint);
  }
  if (changed) endpoint_changed(device, device);
}

bool Hub::may_observe(const DeviceId& reporter, const DeviceId& peer) {
  return observations_.take(reporter.value + "/" + peer.value, RateLimiter::Time::clock::now());
}

void Hub::endpoint_changed(const DeviceId& device, const DeviceId& told_by) {
  for (const auto& [other, session] : sessions_) {
    if (other != device && other != told_by && session->tell_endpoint(device)) to_pump_.insert(other);
  }
  pump_soon();
}

void Hub::ended(NodeSession& session) {
  const auto found = sessions_.find(session.device());
  if (found == sessions_.end() || found->second.get() != &session) return;
  const auto keep = found->second;
  sessions_.erase(found);
  away_.insert(session.device());
  holding_.erase(session.device());
  reports_->disconnected(session.device());
  rotation_->gone(session.device());
  meetings_.gone(session.device());
  facts(session.device()).connected = false;
  services_.metrics.gauge("nodes_connected", static_cast<double>(sessions_.size()));
  boost::asio::post(services_.strand, [weak = weak_from_this()] {
    if (const auto self = weak.lock(); self && !self->stopped_) {
      self->check_holds();
      self->check_waiters();
    }
  });
}

NodeStatus& Hub::facts(const DeviceId& device) {
  const bool fresh = facts_.try_emplace(device).second;
  NodeStatus& facts = facts_.at(device);
  if (fresh) {
    facts.device = device;
    // It may hold leases that were confirmed just before this process started.
    facts.leases_end = started_ + services_.log.world().installation.node_lease;
  }
  return facts;
}

void Hub::on_record(const Record& record, const policy::World& world) {
  const auto kind = kinds::decode(record.kind, record.version, record.payload);
  DeviceId self;
  if (const auto* isolated = as<kinds::DeviceIsolated>(kind)) self = isolated->device;
  if (const auto* released = as<kinds::DeviceReleased>(kind)) self = released->device;
  if (const auto* asked = as<kinds::KeyRotationAsked>(kind)) rotation_->changed(asked->device);
  if (const auto* changed = as<kinds::WireguardKeyChanged>(kind)) rotation_->changed(changed->device);
  if (const auto* offered = as<kinds::WireguardKeyOffered>(kind)) {
    rotation_->changed(offered->device);
    if (const auto session = sessions_.find(offered->device); session != sessions_.end()) {
      session->second->tell_preshared();
      to_pump_.insert(offered->device);
    }
  }
  if (!self.value.empty()) rotation_->changed(self);
  if (const auto* opened = as<kinds::SessionOpened>(kind)) {
    opened_.emplace_back(opened->session.id, record.revision);
    if (opened_.size() > kOpenedKept) opened_.pop_front();
  }
  addresses_.update(record, world);
  const auto connected = [&](const DeviceId& device) { return sessions_.contains(device); };
  for (const StateSource::Affected& affected : states_.advance(record, connected)) {
    ledger_->concern(record.revision, record.at, affected.device, affected.device == self);
    const auto session = sessions_.find(affected.device);
    if (session == sessions_.end()) continue;
    session->second->add(*affected.changes, record.revision);
    to_pump_.insert(affected.device);
    if (session->second->feed().holding()) holding_.insert(affected.device);
  }
  if (const auto* removed = as<kinds::DeviceRemoved>(kind)) {
    ledger_->forget(removed->device);
    endpoints_.forget(removed->device);
    flows_.forget(removed->device);
    enrolment_->forget_request(removed->device);
    reports_->forget(removed->device);
    if (const auto session = sessions_.find(removed->device); session != sessions_.end()) {
      const auto keep = session->second;
      keep->close("this device was removed", kGoneRetryMs);
    }
    facts_.erase(removed->device);
  }
  pump_soon();
}

/// After the batch, when the head of the log is that of the world.
void Hub::pump_soon() {
  if (std::exchange(pump_queued_, true)) return;
  boost::asio::post(services_.strand, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || self->stopped_) return;
    self->pump_queued_ = false;
    self->check_holds();
    for (const DeviceId& device : std::exchange(self->to_pump_, {})) {
      const auto session = self->sessions_.find(device);
      if (session == self->sessions_.end()) continue;
      const auto keep = session->second;  // one that fails takes itself out
      keep->pump();
    }
    self->rotation_->run();
    self->watch_time();
  });
}

void Hub::acked(const NodeSession& session, const SignedReceipt& receipt) {
  ledger_->acked(session.device(), session.feed().complete(), services_.clock.now(), receipt);
  NodeStatus& facts = this->facts(session.device());
  facts.acked = session.feed().settled() ? services_.log.world().revision : session.feed().complete();
  facts.last_nack.clear();
  meetings_.acked(session.device(), session.feed().ready());
  check_holds();
  check_waiters();
  rotation_->moved_on(session.device());
  rotation_->run();
}

void Hub::nacked(const NodeSession& session, const std::string& reason) {
  facts(session.device()).last_nack = reason;
  // A session that began while a policy waits brings the whole state with it: refusing that refuses the
  // policy.
  const policy::World& world = services_.log.world();
  if (world.pending && session.begun() >= world.policy_revision &&
      session.feed().complete() < world.policy_revision) {
    const PolicyEntry* waits = services_.log.policies().find(world.policy_revision);
    ledger_->concern(world.policy_revision, waits == nullptr ? world.at : waits->applied.at, session.device(),
                     false);
  }
  ledger_->nacked(session.device(), reason);
  check_holds();
  check_waiters();
}

/// Lets sources begin once each connected target of theirs holds what it needs.
void Hub::check_holds() {
  const auto holding = holding_;
  for (const DeviceId& source : holding) {
    const auto session = sessions_.find(source);
    const auto revision = session == sessions_.end() ? std::nullopt : session->second->feed().holding();
    if (!revision) {
      holding_.erase(source);
      continue;
    }
    const auto waits_for = [&](const DeviceId& device) {
      const auto target = sessions_.find(device);
      return device != source && target != sessions_.end() && target->second->feed().ready() < *revision;
    };
    if (std::ranges::any_of(ledger_->outstanding(*revision), waits_for)) continue;
    holding_.erase(source);
    session->second->release_hold();
    to_pump_.insert(source);
    pump_soon();
  }
}

bool Hub::answered(Revision revision) const {
  return std::ranges::none_of(ledger_->outstanding(revision),
                              [&](const DeviceId& device) { return sessions_.contains(device); });
}

void Hub::check_waiters() {
  for (auto it = waiters_.begin(); it != waiters_.end();) {
    const auto next = std::next(it);
    if (answered(it->revision)) it->timer.cancel();  // its handler calls back
    it = next;
  }
}

void Hub::wait_for(Revision revision, Seconds timeout, std::function<void(std::vector<ReceiptStatus>)> done) {
  wait(revision, timeout, std::move(done));
}

void Hub::wait(Revision revision, std::chrono::milliseconds timeout,
               std::function<void(std::vector<ReceiptStatus>)> done) {
  const auto waiter = waiters_.insert(
      waiters_.end(), Waiter{revision, std::move(done), boost::asio::steady_timer(services_.strand)});
  waiter->timer.expires_after(answered(revision) ? std::chrono::milliseconds(0) : timeout);
  waiter->timer.async_wait([weak = weak_from_this(), waiter](const boost::system::error_code&) {
    const auto self = weak.lock();
    if (!self) return;
    const Revision waited_for = waiter->revision;
    const auto call = std::move(waiter->done);
    self->waiters_.erase(waiter);
    if (!self->stopped_) call(self->receipts(waited_for));
  });
}

void Hub::settle(const SessionId& session, std::function<void()> done) {
  const auto found = std::ranges::find(opened_, session, &std::pair<SessionId, Revision>::first);
  if (found == opened_.end()) return done();
  wait(found->second, limits_.login_settles,
       [done = std::move(done)](const std::vector<ReceiptStatus>&) { done(); });
}

std::vector<NodeStatus> Hub::nodes() const {
  std::vector<NodeStatus> all;
  for (const auto& [id, device] : services_.log.world().devices) {
    if (!device.is_node()) continue;
    const auto known = facts_.find(id);
    NodeStatus status = known == facts_.end() ? NodeStatus{.device = id} : known->second;
    const auto session = sessions_.find(id);
    if (session != sessions_.end() && session->second->feed().settled()) {
      status.acked = services_.log.world().revision;  // nothing since concerned it
    }
    all.push_back(std::move(status));
  }
  return all;
}

std::vector<ReceiptStatus> Hub::receipts(Revision revision) const {
  std::vector<ReceiptStatus> all = ledger_->receipts(revision);
  for (ReceiptStatus& status : all) {
    const auto known = facts_.find(status.device);
    status.leases_end = known != facts_.end() ? known->second.leases_end
                                              : started_ + services_.log.world().installation.node_lease;
  }
  return all;
}

bool Hub::cannot_tell_activity(const DeviceId& device) const {
  const auto known = facts_.find(device);
  return sessions_.contains(device) && known != facts_.end() && known->second.features &&
         !known->second.features->contains(std::string(wire::kFeatureActivity1));
}

void Hub::tick() {
  const auto now = NodeSession::Time::clock::now();
  const auto sessions = sessions_;  // a session that ends takes itself out
  for (const auto& [device, session] : sessions) session->check(now);
  reports_->check();
  rotation_->run();
  idle_->check([this](const DeviceId& device) { return cannot_tell_activity(device); });
  if (const auto flushed = ledger_->flush(services_.clock.now()); !flushed) {
    services_.metrics.count("receipts_unwritten");
    log::warning(kHubArea, "can't keep receipts: {}", flushed.error().message());
  }
  // A device that is away and whose leases have run out enforces nothing that could be out of date.
  std::erase_if(away_, [&](const DeviceId& id) {
    if (facts(id).leases_end >= services_.clock.now()) return false;
    states_.forget(id);
    return true;
  });
  tick_.expires_after(std::min<DistributionLimits::Millis>(std::chrono::seconds(1), limits_.idle_least / 4));
  tick_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    if (const auto self = weak.lock(); self && !error && !self->stopped_) self->tick();
  });
}

/// Proposes that time has advanced when the next edge passes, so that what follows has a revision.
void Hub::watch_time() {
  const Timestamp now = services_.clock.now();
  const Timestamp next = states_.next_change_at();
  std::chrono::microseconds sleep = kLongestHubSleep;
  if (next <= now) {
    services_.log.propose(kinds::encode("controller", kinds::TimeAdvanced{}),
                          [](const Result<Committed>&) {});
    sleep = std::chrono::seconds(1);  // if it can't be written, again
  } else if (next != kNever) {
    sleep = std::min<std::chrono::microseconds>(sleep, next - now);
  }
  time_.expires_after(sleep);
  time_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    if (const auto self = weak.lock(); self && !error && !self->stopped_) self->watch_time();
  });
}

}  // namespace cordon::controller
