#include "node/agent/agent.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/log.h"
#include "node/agent/state_file.h"
#include "node/link/enrol.h"
#include "node/link/tls.h"
#include "node/link/verify.h"
#include "proto/codec.h"
#include "proto/cordon.pb.h"

namespace cordon::node {
namespace {

namespace asio = boost::asio;
constexpr std::string_view kAgentArea = "node.agent";
constexpr auto kTick = std::chrono::seconds(1);
constexpr unsigned kTicksBetweenSaves = 5;
constexpr unsigned kTicksBetweenRefreshes = 10;
// Peers that turn are looked at more than once a millisecond while the controller says that they do so now,
// else only now and then.
constexpr std::chrono::microseconds kTurnsPause{500};
constexpr std::chrono::milliseconds kPeersGetReady{150};
constexpr std::chrono::milliseconds kLookPause{300}, kRefreshPause{100};
constexpr std::chrono::milliseconds kTurnsSlowPause{100}, kTurnsFast{5000};
// What a tick takes a turning peer's packets would wait for in vain; a turn takes a fifth of a second.
constexpr std::chrono::milliseconds kTickPutOff{20}, kTickPutOffMost{1000};

std::filesystem::path state_path(const IdentityStore& store) {
  return store.directory() / "state.bin";
}

}  // namespace

/// Waits on the kernel's descriptors and the clock. Descriptors are borrowed: they are let go, not closed.
class Agent::Watches {
 public:
  explicit Watches(Agent& agent)
      : agent_(agent),
        events_(agent.parts_.io),
        network_(agent.parts_.io),
        tick_(agent.parts_.io),
        turns_(agent.parts_.io),
        look_(agent.parts_.io),
        refresh_(agent.parts_.io),
        key_(agent.parts_.io) {}
  ~Watches() {
    if (events_.is_open()) events_.release();
    if (network_.is_open()) network_.release();
  }

  Result<> start() {
    boost::system::error_code ec;
    events_.assign(agent_.parts_.filter.events_fd(), ec);
    if (!ec) network_.assign(agent_.parts_.network.monitor_fd(), ec);
    if (ec) return fail_errno("can't wait on the kernel's events", ec.value());
    wait_events();
    wait_network();
    wait_tick(kTick);
    return {};
  }

  /// While a peer is quiet or turns to another key; `now`: it does so in this moment.
  void watch_turns(bool now) {
    using std::chrono::steady_clock;
    if (now) turns_fast_until_ = steady_clock::now() + kTurnsFast;
    if (!agent_.applier_.restless() || (turns_watched_ && !now)) return;
    turns_watched_ = true;
    // A look costs more the more peers there are: it may take half of the time.
    const auto pause = steady_clock::now() < turns_fast_until_
                           ? std::max<steady_clock::duration>(kTurnsPause, turns_cost_)
                           : kTurnsSlowPause;
    turns_.expires_after(pause);
    turns_.async_wait([this](boost::system::error_code ec) {
      if (ec) return;
      turns_watched_ = false;
      const auto begun = steady_clock::now();
      if (const auto looked = agent_.applier_.look_at_peers(agent_.parts_.clock.boot_ns()); !looked)
        log::warning(kAgentArea, "{}", looked.error().message());
      turns_cost_ = steady_clock::now() - begun;
      watch_turns(false);
    });
  }

  /// Peers that acked a moment ago may be busy with their disks yet: they get the time to watch.
  void settle_key_soon() {
    key_waits_ = true;
    key_.expires_after(kPeersGetReady);
    key_.async_wait([this](boost::system::error_code ec) {
      if (ec) return;
      key_waits_ = false;
      agent_.settle_key();
    });
  }
  bool key_waits() const { return key_waits_; }

 private:
  void wait_events() {
    events_.async_wait(asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code ec) {
      if (ec) return;
      agent_.take_events();
      wait_events();
    });
  }
  void wait_network() {
    network_.async_wait(asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code ec) {
      if (ec) return;
      if (const NetworkChanges told = agent_.parts_.network.drain()) {
        if (std::ranges::any_of(told.links_here, [&](unsigned i) { return !agent_.interfaces_.knows(i); }))
          agent_.interfaces_.guard();
        refresh_soon(told.links);
        look_soon();
      }
      wait_network();
    });
  }
  /// As look_soon.
  void refresh_soon(bool links) {
    refresh_links_ |= links;
    if (std::exchange(refresh_queued_, true)) return;
    refresh_.expires_at(next_refresh_);
    refresh_.async_wait([this](boost::system::error_code ec) {
      if (ec) return;
      refresh_queued_ = false;
      const auto begun = std::chrono::steady_clock::now();
      Interfaces& interfaces = agent_.interfaces_;
      const auto done = std::exchange(refresh_links_, false) ? interfaces.refresh() : interfaces.follow_mtu();
      if (!done) log::warning(kAgentArea, "{}", done.error().message());
      const auto ended = std::chrono::steady_clock::now();
      next_refresh_ =
          ended + std::max<std::chrono::steady_clock::duration>(kRefreshPause, 4 * (ended - begun));
    });
  }
  /// Not with each of the changes that come by the hundred; a look that takes long comes more rarely.
  void look_soon() {
    if (std::exchange(look_queued_, true)) return;
    look_.expires_at(next_look_);
    look_.async_wait([this](boost::system::error_code ec) {
      if (ec) return;
      look_queued_ = false;
      const auto begun = std::chrono::steady_clock::now();
      agent_.keep_network();
      const auto ended = std::chrono::steady_clock::now();
      next_look_ = ended + std::max<std::chrono::steady_clock::duration>(kLookPause, 4 * (ended - begun));
    });
  }
  void wait_tick(std::chrono::milliseconds pause) {
    tick_.expires_after(pause);
    tick_.async_wait([this](boost::system::error_code ec) {
      if (!ec) tick_unless_a_peer_turns();
    });
  }
  void tick_unless_a_peer_turns() {
    const bool turns = std::chrono::steady_clock::now() < turns_fast_until_ && agent_.applier_.turning();
    if (turns && put_off_ < kTickPutOffMost) {
      put_off_ += kTickPutOff;
      return wait_tick(kTickPutOff);
    }
    put_off_ = {};
    agent_.tick();
    wait_tick(kTick);
  }

  Agent& agent_;
  asio::posix::stream_descriptor events_, network_;
  asio::steady_timer tick_, turns_, look_, refresh_, key_;
  std::chrono::steady_clock::time_point next_look_{}, next_refresh_{};
  bool look_queued_ = false, refresh_queued_ = false, refresh_links_ = false;
  std::chrono::steady_clock::time_point turns_fast_until_{};
  std::chrono::steady_clock::duration turns_cost_{};
  bool turns_watched_ = false, key_waits_ = false;
  std::chrono::milliseconds put_off_{};
};

void Agent::watch_turns(bool now) {
  if (watches_) watches_->watch_turns(now);
}

void Agent::settle_key_soon() {
  if (watches_) watches_->settle_key_soon();
}

Result<std::unique_ptr<Agent>> Agent::open(AgentParts parts) {
  CORDON_ASSIGN(auto identity, parts.store.load());
  if (!identity || identity->pending)
    return fail(ErrorCode::not_found, "this device is not enrolled yet",
                "run: cordon-node enrol --token-file FILE");
  CORDON_ASSIGN(auto keys, parts.store.load_keys());
  CORDON_ASSIGN(auto heads, HeadMemory::open(parts.store.directory() / "seen_head.json"));
  CORDON_ASSIGN(auto preshared, PresharedKeys::open(parts.store.directory() / "preshared.keys"));
  std::unique_ptr<Agent> agent(new Agent(std::move(parts), std::move(keys), std::move(*identity),
                                         std::move(heads), std::move(preshared)));
  auto saved = load_state(state_path(agent->parts_.store));
  if (!saved)
    log::warning(kAgentArea, "the last state is not shown: {}", saved.error().message());
  else if (*saved)
    agent->states_.start_from((*saved)->revision, std::move((*saved)->state));
  return agent;
}

Agent::Agent(AgentParts parts, Keys keys, Identity identity, HeadMemory heads, PresharedKeys preshared)
    : parts_(std::move(parts)),
      people_(parts_.config.people_uids.value_or(std::vector<UidRange>{})),
      people_watch_(parts_.people),
      keys_(std::move(keys)),
      identity_(std::move(identity)),
      controllers_(Controllers::open(parts_.config.controllers, parts_.store)),
      heads_(std::move(heads)),
      preshared_(std::move(preshared)),
      rotation_({.store = parts_.store,
                 .tunnel = parts_.tunnel,
                 .clock = parts_.clock,
                 .every = parts_.config.rotate_keys,
                 .early = parts_.uniform()},
                keys_, preshared_),
      applier_(parts_.filter, parts_.tunnel, parts_.network, people_, parts_.config.gateway_subnets),
      states_(applier_, heads_, time_, parts_.clock),
      saver_(parts_.io, state_path(parts_.store),
             [this] {
               return HeldState{.state = states_.state(),
                                .revision = states_.revision(),
                                .digest = states_.digest(),
                                .version = states_.applied()};
             }),
      interfaces_(parts_.config, parts_.filter, parts_.tunnel, parts_.network),
      guard_file_(parts_.store.directory()),
      renewal_(parts_.store, keys_.device, parts_.clock),
      flows_(parts_.clock.boot_ns()),
      history_(parts_.clock.boot_ns()),
      session_(parts_.io,
               {.controllers = controllers_.tried(parts_.filter.contained()), .limits = parts_.limits},
               parts_.clock, parts_.uniform, *this),
      desk_(parts_.io, {}, *this),
      server_(parts_.io, {},
              [this](local::Request request, local::Caller caller, std::function<void(std::string)> reply) {
                desk_.take(request, caller, std::move(reply));
              }),
      watches_(std::make_unique<Watches>(*this)),
      sockets_(parts_.io, parts_.network,
               [this]() -> std::optional<SocketJudgement> {
                 if (!time_.known()) return std::nullopt;
                 return SocketJudgement{.state = states_.state(),
                                        .now = time_.base().to_utc(parts_.clock.boot_ns()),
                                        .controllers = controllers_.allowed()};
               },
               {kMptcpCloseTimeout, parts_.config.run_directory / kMptcpMemory}) {
  stand(identity_);
}

Agent::~Agent() = default;

void Agent::stand(const Identity& identity) {
  const auto certificate = crypto::parse_certificate(identity.certificate_pem);
  states_.set_standing({.device = identity.device,
                        .domain = certificate ? trust_domain(*certificate, "device") : std::string{},
                        .roots_pem = identity.trust_pem,
                        .key = keys_.device});
}

Result<> Agent::start() {
  CORDON_TRY(rotation_.settle());
  CORDON_TRY(applier_.use_preshared(preshared_.of(rotation_.own()), false));
  guard_as_before();
  CORDON_TRY(applier_.set_controllers(controllers_.tried(false)));
  CORDON_TRY(applier_.guard_subnets(overlay_of(states_.state())));
  // The filter goes on an interface before it can carry anything (I1).
  CORDON_TRY(interfaces_.set_up());
  // A tunnel that outlived the daemon is newer than the state on disk: taking a peer away and adding it again
  // would cost its keys, and packets until the next handshake. Its peers stay as they are until the
  // controller speaks; its routes don't: one may take the way to the controller away (I9).
  const auto peers = parts_.tunnel.peers();
  const bool outlived = peers && !peers->empty();
  if (outlived) {
    if (const auto led = applier_.lead_as_guarded(); !led)
      log::warning(kAgentArea, "the routes of before wait for the controller: {}", led.error().message());
  } else if (states_.state().settings() != nullptr) {
    const auto restored = applier_.restore(overlay_of(states_.state()));
    if (!restored)
      log::warning(kAgentArea, "tunnel and addresses wait for the controller: {}",
                   restored.error().message());
  }
  CORDON_TRY(server_.listen(parts_.config.run_directory / "node.sock"));
  CORDON_TRY(watches_->start());
  session_.start();
  log::info(kAgentArea, "device {} runs; the filter was {}", identity_.device.value,
            parts_.filter.adopted() ? "adopted" : "loaded");
  return {};
}

void Agent::stop() {
  session_.stop();
  server_.stop();
  watches_.reset();
  saver_.finish();
  if (const auto saved = heads_.save(); !saved) log::error(kAgentArea, "{}", saved.error().message());
}

void Agent::tick() {
  if (!states_.busy()) {
    supervise_tunnel();
    follow_isolation();
    follow_people();
    if (!network_alarm_.empty()) keep_network();
  }
  // Path MTUs that the kernel learns and peers that move are told by nobody.
  const bool all = !interfaces_.alarm().empty() || ticks_ % kTicksBetweenRefreshes == 0;
  if (all || interfaces_.mtu_wants_more())
    if (const auto done = all ? interfaces_.refresh() : interfaces_.follow_mtu(); !done)
      log::warning(kAgentArea, "{}", done.error().message());
  if (all) follow_gateways();
  const auto fresh = filter_alarms_.found(parts_.filter.check(), parts_.clock.boot_ns());
  for (const std::string& line : fresh) log::error(kAgentArea, "filter: {}", line);
  if (!fresh.empty()) session_.beat();  // told at once
  sockets_.tick();
  activity_.look(parts_.filter, states_.state(), parts_.clock.boot_ns());
  renew_if_due();
  if (!states_.busy()) rotate_if_due();
  send_flows();
  if (++ticks_ % kTicksBetweenSaves == 0) saver_.save();
}

void Agent::supervise_tunnel() {
  const auto restarted = parts_.tunnel.supervise();
  if (restarted && *restarted) {
    tunnel_is_bare_ = true;
    log::warning(kAgentArea, "the tunnel was made anew");
    tunnel_alarms_.found({"it was gone and was made anew"}, parts_.clock.boot_ns());
  }
  Result<> done = restarted ? Result<>{} : Result<>(std::unexpected(restarted.error()));
  if (done && tunnel_is_bare_) {
    done = rotation_.settle();
    if (done) done = interfaces_.set_up();
    if (done) done = applier_.restore();
    tunnel_is_bare_ = !done;
    session_.beat();  // told at once
  }
  tunnel_alarm_ = done ? "" : "tunnel: " + done.error().message();
}

void Agent::renew_if_due() {
  if (!session_.connected() || !renewal_.due(identity_)) return;
  wire::ToController message;
  const auto asked = renewal_.ask(identity_, *message.mutable_renew());
  if (asked) session_.send(message);
}

void Agent::settle_key() {
  if (!rotation_.unsettled() || states_.busy()) return;  // the next tick looks again
  Result<> done = rotation_.settle();
  // For peers that come from now on; those that are there have theirs.
  if (done) done = applier_.use_preshared(preshared_.of(rotation_.own()), false);
  key_alarm_ = done ? "" : "WireGuard key: " + done.error().message();
  if (!done) return log::error(kAgentArea, "{}", key_alarm_);
  log::info(kAgentArea, "turned to a new WireGuard key");
  tell_keys();
}

void Agent::rotate_if_due() {
  Result<> done;
  if (rotation_.unsettled()) {
    if (!watches_->key_waits()) settle_key();
  } else if (session_.connected() && controller_turns_keys_ && rotation_.due()) {
    done = rotation_.make_next();
    if (done) tell_keys();
  }
  if (!rotation_.unsettled()) key_alarm_ = done ? "" : "WireGuard key: " + done.error().message();
}

void Agent::take_events() {
  const BootNs now = parts_.clock.boot_ns();
  const Timestamp wall = parts_.clock.now();
  parts_.filter.take_events([&](const FlowEvent& event) {
    flows_.add(event);
    const auto age = std::chrono::nanoseconds(now - std::min(now, event.at));
    const Timestamp at = time_.known() ? time_.base().to_utc(event.at)
                                       : wall - std::chrono::duration_cast<std::chrono::microseconds>(age);
    history_.add(event, at, states_.state(), states_.applied(), now);
  });
  desk_.flows_came();
  if (flows_.size() >= FlowBuffer::kAReport) send_flows();
}

void Agent::send_flows() {
  if (!time_.known()) return;
  wire::ToController message;
  while (session_.connected() && flows_.next(parts_.clock.boot_ns(), time_.base(),
                                             parts_.filter.events_lost(), *message.mutable_flows()))
    session_.send(message);
}

void Agent::save_head() {
  const auto saved = heads_.save();
  head_alarm_ = saved ? "" : "head not saved: " + saved.error().message();
}

bool Agent::is_person(std::uint32_t uid) const {
  return is_among(people_, uid);
}

std::vector<std::string> Agent::alarms() const {
  std::vector<std::string> out;
  for (const std::string* alarm :
       {&states_.head_alarm(), &tunnel_alarm_, &key_alarm_, &link_alarm_, &head_alarm_, &saver_.alarm(),
        &guard_alarm_, &health_alarm_, &controllers_alarm_, &network_alarm_, &people_alarm_, &peers_alarm_,
        &gateways_alarm_, &interfaces_.alarm(), &interfaces_.networks_alarm(), &activity_.alarm()})
    if (!alarm->empty()) out.push_back(*alarm);
  if (std::string alarm = controllers_.alarm(); !alarm.empty()) out.push_back(std::move(alarm));
  for (const auto* alarms : {&applier_.gateway_alarms(), &forwarding_alarms_})
    for (const std::string& line : *alarms) out.push_back("gateway: " + line);
  for (const std::string& line : filter_alarms_.standing(parts_.clock.boot_ns()))
    out.push_back("filter: " + line);
  for (const std::string& line : tunnel_alarms_.standing(parts_.clock.boot_ns()))
    out.push_back("tunnel: " + line);
  for (const std::string& line : network_alarms_.standing(parts_.clock.boot_ns()))
    out.push_back("network: " + line);
  return out;
}

}  // namespace cordon::node
