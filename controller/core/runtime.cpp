#include "controller/core/runtime.h"

#include <fmt/format.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <optional>
#include <thread>

#include "base/log.h"
#include "base/state_directory.h"
#include "controller/api/api.h"
#include "controller/core/change_log_writer.h"
#include "controller/core/metrics.h"
#include "controller/core/metrics_listener.h"
#include "controller/core/places.h"
#include "controller/core/policy_watch.h"
#include "controller/core/services.h"
#include "controller/distribution/server.h"
#include "controller/flows/flows.h"
#include "controller/identity/login.h"
#include "controller/pki/authority.h"
#include "controller/secrets/secret_store.h"
#include "controller/world/kinds.h"

namespace cordon::controller {

namespace {

namespace asio = boost::asio;
constexpr std::string_view kRuntimeArea = "controller";
constexpr int kIoThreads = 2;
constexpr int kPoolThreads = 2;
constexpr Seconds kNodeLease{15 * 60};  // unless told
constexpr auto kHousekeeping = std::chrono::minutes(10);
constexpr auto kLastWords = std::chrono::milliseconds(1200);  // connections close within a second

/// fd + 40 random bits: a unique local prefix of 48 bits (RFC 4193).
Prefix random_ula() {
  Address address;
  address.bytes[0] = 0xfd;
  const Bytes random = random_bytes(5);
  std::ranges::copy(random, address.bytes.begin() + 1);
  return Prefix::of(address, 48);
}

class RunningController final : public Runtime {
 public:
  explicit RunningController(const ControllerConfig& config, StateDirectory directory)
      : config_(config),
        directory_(std::move(directory)),
        strand_(asio::make_strand(io_)),
        pool_(kPoolThreads),
        signals_(strand_),
        housekeeping_(strand_),
        ending_(strand_) {}

  Result<> open();
  Result<> run() override;
  void stop() override {
    asio::post(strand_, [this] { end(); });
  }
  std::uint16_t node_port() const override { return distribution_->port(); }
  std::uint16_t api_port() const override { return api_->https_port(); }

 private:
  Result<> open_storage();
  Result<> first_start();
  Result<> raise_format();
  Result<> take_back_unconfirmed();
  Result<> listen();
  Result<Committed> propose_and_wait(Proposal proposal);
  void keep_house();
  void end();
  void let_go();

  const ControllerConfig config_;
  StateDirectory directory_;
  Metrics metrics_;
  std::unique_ptr<Places> places_;
  std::unique_ptr<SecretStore> secrets_;
  std::unique_ptr<Authority> authority_;
  std::unique_ptr<LogStore> store_;
  std::unique_ptr<Flows> flows_;
  asio::io_context io_{kIoThreads};
  asio::strand<asio::io_context::executor_type> strand_;
  asio::thread_pool pool_;
  std::optional<Services> services_;
  std::unique_ptr<ChangeLog> log_;
  std::shared_ptr<PolicyWatch> policy_watch_;
  std::unique_ptr<DistributionServer> distribution_;
  std::unique_ptr<Identity> identity_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<MetricsListener> metrics_listener_;
  asio::signal_set signals_;
  asio::steady_timer housekeeping_;
  asio::steady_timer ending_;
  bool ended_ = false;
};

Result<> RunningController::open_storage() {
  if (!config_.places_database.empty()) {
    CORDON_ASSIGN(places_, Places::open(config_.places_database));
    log::info(kRuntimeArea, "countries of addresses are those of {}", places_->version());
  }
  const std::filesystem::path& state = config_.state_directory;
  CORDON_ASSIGN(secrets_, open_secret_store(state / "secrets.db", state / "data.key"));
  AuthorityConfig authority{.trust_domain = config_.trust_domain,
                            .controller_name = config_.name,
                            .dns_names = config_.advertise_names};
  for (const Address& address : config_.advertise_addresses)
    authority.ip_addresses.push_back(address.to_string());
  CORDON_ASSIGN(authority_, open_authority(authority, *secrets_, system_clock().now()));
  CORDON_ASSIGN(store_, open_log_store(state / "log.db"));
  CORDON_ASSIGN(flows_, Flows::open(state / "flows.db", metrics_));
  ChangeLogConfig log{
      .strand = strand_,
      .store = *store_,
      .signer = [this] { return LogSigner{authority_->server_key(), authority_->server_chain_pem()}; },
      .trust_bundle_pem = authority_->trust_bundle_pem(),
      .unseal =
          [this](const SubjectId& subject, std::string_view sealed) {
            return open_personal_or_gone(*secrets_, subject.value, sealed);
          },
      .clock = system_clock()};
  CORDON_ASSIGN(log_, make_change_log(std::move(log)));
  return {};
}

Result<Committed> RunningController::propose_and_wait(Proposal proposal) {
  std::optional<Result<Committed>> outcome;
  // The log's own thread does the work: without this the loop would end while it does.
  const auto work = asio::make_work_guard(io_);
  asio::post(strand_, [&] {
    log_->propose(std::move(proposal), [&](Result<Committed> committed) { outcome = std::move(committed); });
  });
  while (!outcome) io_.run_one();
  return std::move(*outcome);
}

Result<> RunningController::first_start() {
  if (log_->world().revision == Revision(0)) {
    CORDON_ASSIGN(const Prefix usual_v4, Prefix::parse("100.64.0.0/10"));
    const Prefix v4 = config_.overlay_v4.value_or(usual_v4);
    const Prefix v6 = config_.overlay_v6.value_or(random_ula());
    const kinds::InstallationCreated created{
        .installation = {.trust_domain = config_.trust_domain,
                         .overlay_v4 = v4,
                         .overlay_v6 = v6,
                         .node_lease = config_.node_lease.value_or(kNodeLease)}};
    CORDON_TRY(propose_and_wait(kinds::encode("controller", created)));
    log::info(kRuntimeArea, "new installation \"{}\": overlay {} and {}", config_.trust_domain,
              v4.to_string(), v6.to_string());
  }
  const std::string& domain = log_->world().installation.trust_domain;
  if (domain != config_.trust_domain) {
    return fail(ErrorCode::conflict,
                fmt::format("the log is of trust domain \"{}\", the configuration says \"{}\"", domain,
                            config_.trust_domain),
                "a trust domain can't be changed; use another state_directory for another installation");
  }
  for (const std::string& ignored : settled_at_first_start(config_, log_->world().installation))
    log::warning(kRuntimeArea, "{}", ignored);
  return {};
}

/// Before anything is written that needs it. This controller is the only one that reads the log, so all who
/// read it know the format.
Result<> RunningController::raise_format() {
  const std::uint32_t was = log_->format();
  if (was >= kinds::kNewestFormat) return {};
  const auto raised = propose_and_wait(kinds::encode("controller", kinds::FormatRaised{}));
  if (!raised) return std::unexpected(in_context(raised.error(), "raising the change log's format"));
  log::info(kRuntimeArea,
            "the change log has format {} from revision {} on (it was {}): earlier releases don't read it",
            kinds::kNewestFormat, raised->record.revision.value, was);
  return {};
}

/// A policy whose time passed while no controller ran: before any node is served (I9).
Result<> RunningController::take_back_unconfirmed() {
  const auto back = overdue_rollback(log_->world(), system_clock().now());
  if (!back) return {};
  const auto undone = propose_and_wait(kinds::encode("controller", *back));
  if (!undone) return std::unexpected(in_context(undone.error(), "rolling back an unconfirmed policy"));
  log::warning(kRuntimeArea, "policy revision {} wasn't confirmed in time: it was rolled back",
               back->revision.value);
  return {};
}

Result<> RunningController::listen() {
  services_.emplace(Services{.strand = strand_,
                             .io = io_.get_executor(),
                             .pool = pool_.get_executor(),
                             .clock = system_clock(),
                             .config = config_,
                             .log = *log_,
                             .store = *store_,
                             .secrets = *secrets_,
                             .authority = *authority_,
                             .flows = *flows_,
                             .metrics = metrics_,
                             .places = places_.get()});
  std::error_code error;
  std::filesystem::create_directories(config_.run_directory, error);
  if (error) return fail_errno("can't make " + config_.run_directory.string(), error.value());
  identity_ = make_identity(*services_);
  services_->identity = identity_.get();
  policy_watch_ = std::make_shared<PolicyWatch>(*log_, system_clock(), strand_);
  policy_watch_->start();
  if (const std::string told = other_time_zones(*log_, system_time_zones()); !told.empty()) {
    log::warning(kRuntimeArea, "{}", told);
  }
  CORDON_ASSIGN(distribution_, start_distribution(*services_, config_.state_directory / "receipts.db"));
  CORDON_ASSIGN(api_, start_api(*services_));
  if (config_.metrics_listen) {
    CORDON_ASSIGN(metrics_listener_, listen_metrics(strand_, *config_.metrics_listen, metrics_));
  }
  log::info(kRuntimeArea, "{} listens for nodes at {} (port {}), for the API at {} (port {}) and at {}",
            config_.name, config_.listen_nodes.to_string(), distribution_->port(),
            config_.listen_api.to_string(), api_->https_port(), config_.admin_socket().string());
  return {};
}

Result<> RunningController::open() {
  CORDON_TRY(open_storage());
  CORDON_TRY(first_start());
  CORDON_TRY(raise_format());
  CORDON_TRY(take_back_unconfirmed());
  // Nothing runs on the strand yet, so this thread may stand in for it.
  CORDON_TRY(listen());
  keep_house();
  return {};
}

/// Certificates are renewed at half their life, old flow records go.
void RunningController::keep_house() {
  const Timestamp now = system_clock().now();
  const auto renewed = authority_->renew_server(now);
  if (!renewed) {
    log::error(kRuntimeArea, "can't renew the server certificate: {}", renewed.error().message());
  } else if (*renewed) {
    for (const Result<>& reloaded : {distribution_->reload_certificate(), api_->reload_certificate()}) {
      if (!reloaded)
        log::error(kRuntimeArea, "can't use the new certificate: {}", reloaded.error().message());
    }
    log::info(kRuntimeArea, "the server certificate was renewed");
  }
  flows_->prune(now - config_.flows_keep, config_.flows_max_bytes);
  housekeeping_.expires_after(kHousekeeping);
  housekeeping_.async_wait([this](const boost::system::error_code& error) {
    if (!error && !ended_) keep_house();
  });
}

void RunningController::end() {
  if (std::exchange(ended_, true)) return;
  log::info(kRuntimeArea, "ending");
  boost::system::error_code ignored;
  signals_.cancel(ignored);
  housekeeping_.cancel();
  policy_watch_->stop();
  api_->stop();
  distribution_->stop();
  if (metrics_listener_) metrics_listener_->stop();
  ending_.expires_after(kLastWords);
  ending_.async_wait([this](const boost::system::error_code&) { let_go(); });
}

/// Connections have ended; without what is left the loop has nothing more to do, and run() returns.
void RunningController::let_go() {
  pool_.join();
  flows_->stop();
  // What they did last has its answers on the strand already, and they use what goes here.
  asio::post(strand_, [this] {
    api_.reset();
    distribution_.reset();
    identity_.reset();
    metrics_listener_.reset();
    log_.reset();
  });
}

Result<> RunningController::run() {
  boost::system::error_code error;
  signals_.add(SIGTERM, error);
  if (!error) signals_.add(SIGINT, error);
  if (error) return fail(ErrorCode::io, "can't wait for signals: " + error.message());
  signals_.async_wait([this](const boost::system::error_code& cancelled, int) {
    if (!cancelled) end();
  });
  {
    std::vector<std::jthread> threads;
    for (int i = 1; i < kIoThreads; ++i) threads.emplace_back([this] { io_.run(); });
    io_.run();
  }
  log::info(kRuntimeArea, "ended");
  return {};
}

}  // namespace

Result<std::unique_ptr<Runtime>> start_controller(const ControllerConfig& config) {
  CORDON_ASSIGN(StateDirectory directory, StateDirectory::open(config.state_directory, "controller"));
  auto controller = std::make_unique<RunningController>(config, std::move(directory));
  CORDON_TRY(controller->open());
  return controller;
}

}  // namespace cordon::controller
