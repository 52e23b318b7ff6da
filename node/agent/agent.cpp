#include "node/agent/agent.h"

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
constexpr std::size_t kFlowsAReport = 512;
constexpr std::size_t kReportsATick = 16;

std::filesystem::path state_path(const IdentityStore& store) {
  return store.directory() / "state.bin";
}

}  // namespace

/// Waits on the kernel's descriptors and the clock. Descriptors are borrowed: they are let go, not closed.
class Agent::Watches {
 public:
  explicit Watches(Agent& agent)
      : agent_(agent), events_(agent.parts_.io), network_(agent.parts_.io), tick_(agent.parts_.io) {}
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
    wait_tick();
    return {};
  }

 private:
  void wait_events() {
    events_.async_wait(asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code ec) {
      if (ec) return;
      agent_.parts_.filter.take_events([this](const FlowEvent& event) { agent_.flows_.add(event); });
      if (agent_.flows_.size() >= kFlowsAReport) agent_.send_flows();
      wait_events();
    });
  }
  void wait_network() {
    network_.async_wait(asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code ec) {
      if (ec) return;
      if (agent_.parts_.network.drain())
        if (const auto done = agent_.interfaces_.refresh(); !done)
          log::warning(kAgentArea, "{}", done.error().message());
      wait_network();
    });
  }
  void wait_tick() {
    tick_.expires_after(kTick);
    tick_.async_wait([this](boost::system::error_code ec) {
      if (ec) return;
      agent_.tick();
      wait_tick();
    });
  }

  Agent& agent_;
  asio::posix::stream_descriptor events_, network_;
  asio::steady_timer tick_;
};

Result<std::unique_ptr<Agent>> Agent::open(AgentParts parts) {
  CORDON_ASSIGN(auto identity, parts.store.load());
  if (!identity || identity->pending)
    return fail(ErrorCode::not_found, "this device is not enrolled yet",
                "run: cordon-node enrol --token-file FILE");
  CORDON_ASSIGN(auto keys, parts.store.load_keys());
  CORDON_ASSIGN(auto heads, HeadMemory::open(parts.store.directory() / "seen_head.json"));
  std::unique_ptr<Agent> agent(
      new Agent(std::move(parts), std::move(keys), std::move(*identity), std::move(heads)));
  auto saved = load_state(state_path(agent->parts_.store));
  if (!saved)
    log::warning(kAgentArea, "the last state is not shown: {}", saved.error().message());
  else if (*saved)
    agent->states_.start_from((*saved)->revision, std::move((*saved)->state));
  return agent;
}

Agent::Agent(AgentParts parts, Keys keys, Identity identity, HeadMemory heads)
    : parts_(std::move(parts)),
      keys_(std::move(keys)),
      identity_(std::move(identity)),
      heads_(std::move(heads)),
      applier_(parts_.filter, parts_.tunnel, parts_.network),
      states_(applier_, heads_, time_, parts_.clock),
      interfaces_(parts_.config, parts_.filter, parts_.tunnel, parts_.network),
      renewal_(parts_.store, keys_.device, parts_.clock),
      session_(parts_.io, {.controllers = parts_.config.controllers, .limits = parts_.limits}, parts_.clock,
               parts_.uniform, *this),
      desk_(parts_.io, {}, *this),
      server_(parts_.io, {},
              [this](local::Request request, local::Caller caller, std::function<void(std::string)> reply) {
                desk_.take(request, caller, std::move(reply));
              }),
      watches_(std::make_unique<Watches>(*this)) {
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
  CORDON_TRY(parts_.tunnel.set_private_key(keys_.wireguard));
  guard_as_before();
  // The filter goes on an interface before it can carry anything (I1).
  CORDON_TRY(interfaces_.set_up());
  // A tunnel that outlived the daemon is newer than the state on disk: taking a peer away and adding it again
  // would cost its keys, and packets until the next handshake. It stays as it is until the controller speaks.
  const auto peers = parts_.tunnel.peers();
  const bool outlived = peers && !peers->empty();
  if (states_.state().settings() != nullptr && !outlived) {
    const auto restored = applier_.restore(overlay_of(states_.state()));
    if (!restored)
      log::warning(kAgentArea, "tunnel and addresses wait for the controller: {}", restored.error().message());
  }
  CORDON_TRY(server_.listen(parts_.config.run_directory / "node.sock"));
  CORDON_TRY(watches_->start());
  session_.start();
  log::info(kAgentArea, "device {} runs; the filter was {}", identity_.device.value,
            parts_.filter.adopted() ? "adopted" : "loaded");
  return {};
}

void Agent::guard_as_before() {
  if (parts_.filter.adopted() || states_.state().settings() == nullptr) return;
  policy::NodeState guards;
  for (const auto& [key, value] : states_.state().entries)
    if (std::holds_alternative<policy::SettingsKey>(key) || std::holds_alternative<policy::GuardKey>(key))
      guards.entries.emplace(key, value);
  const auto done = parts_.filter.replace(guards, time_.base());
  if (!done) log::error(kAgentArea, "the underlay is not guarded yet: {}", done.error().message());
}

void Agent::stop() {
  session_.stop();
  server_.stop();
  watches_.reset();
  save_state();
  if (const auto saved = heads_.save(); !saved) log::error(kAgentArea, "{}", saved.error().message());
}

void Agent::tick() {
  supervise_tunnel();
  if (!interfaces_.alarm().empty())
    if (const auto done = interfaces_.refresh(); !done) log::warning(kAgentArea, "{}", done.error().message());
  auto found = parts_.filter.check();
  for (const std::string& line : found)
    if (std::ranges::find(filter_alarms_, line) == filter_alarms_.end())
      log::error(kAgentArea, "filter: {}", line);
  filter_alarms_ = std::move(found);
  activity_.look(parts_.filter, states_.state(), parts_.clock.boot_ns());
  renew_if_due();
  for (std::size_t i = 0; i < kReportsATick && !flows_.empty() && session_.connected(); ++i) send_flows();
  if (++ticks_ % kTicksBetweenSaves == 0) save_state();
}

void Agent::supervise_tunnel() {
  const auto restarted = parts_.tunnel.supervise();
  tunnel_alarm_ = restarted ? "" : "tunnel: " + restarted.error().message();
  if (!restarted || !*restarted) return;
  log::warning(kAgentArea, "the tunnel was made anew");
  Result<> done = parts_.tunnel.set_private_key(keys_.wireguard);
  if (done) done = interfaces_.set_up();
  if (done) done = applier_.restore();
  if (!done) tunnel_alarm_ = "tunnel: " + done.error().message();
}

void Agent::renew_if_due() {
  if (!session_.connected() || !renewal_.due(identity_)) return;
  wire::ToController message;
  const auto asked = renewal_.ask(identity_, *message.mutable_renew());
  if (asked) session_.send(message);
}

void Agent::send_flows() {
  if (!time_.known() || !session_.connected()) return;
  wire::ToController message;
  flows_.take(kFlowsAReport, time_.base(), parts_.filter.events_lost(), *message.mutable_flows());
  session_.send(message);
}

void Agent::save_state() {
  if (saved_ == states_.applied() || !states_.holds()) return;
  const auto saved =
      node::save_state(state_path(parts_.store), {.revision = states_.revision(), .state = states_.state()});
  disk_alarm_ = saved ? "" : "state not saved: " + saved.error().message();
  if (saved) saved_ = states_.applied();
}

std::vector<std::string> Agent::alarms() const {
  std::vector<std::string> out;
  for (const std::string* alarm : {&states_.head_alarm(), &tunnel_alarm_, &link_alarm_, &disk_alarm_,
                                   &health_alarm_, &interfaces_.alarm(), &activity_.alarm()})
    if (!alarm->empty()) out.push_back(*alarm);
  for (const std::string& line : filter_alarms_) out.push_back("filter: " + line);
  return out;
}

}  // namespace cordon::node
