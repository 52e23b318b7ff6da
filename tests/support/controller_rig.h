#pragma once
// A controller's distribution for real (TLS on a loopback port, log in memory, secrets in a temporary
// directory) on a thread of its own, without API and passwords.

#include <boost/asio.hpp>
#include <future>
#include <thread>

#include "controller/core/change_log_writer.h"
#include "controller/core/config.h"
#include "controller/core/metrics.h"
#include "controller/core/services.h"
#include "controller/distribution/server.h"
#include "controller/flows/flow_store.h"
#include "controller/identity/login.h"
#include "controller/pki/authority.h"
#include "controller/pki/csr.h"
#include "controller/secrets/secret_store.h"
#include "tests/support/fake_node.h"
#include "tests/support/log_fixture.h"
#include "tests/support/memory_log_store.h"
#include "tests/support/temp_dir.h"

namespace cordon::test {

/// Takes the password "right" of users it was told of.
class FakeIdentity final : public controller::Identity {
 public:
  explicit FakeIdentity(controller::Services& services) : services_(services) {}
  void log_in(controller::LoginAttempt attempt, LoginDone done) override {
    if (attempt.password != "right")
      return done(std::unexpected(controller::LoginRefused{"not signed in", Seconds(1)}));
    const std::string id = "s-" + std::to_string(++count_);
    auto opened = session(id, "u-" + attempt.user, attempt.device.value, attempt.uid,
                          services_.clock.now() + std::chrono::hours(1));
    opened.session.authenticated_at = services_.clock.now();
    services_.log.propose(controller::kinds::encode("device:x", opened), [this, id, done](auto committed) {
      if (!committed)
        return done(std::unexpected(controller::LoginRefused{committed.error().what, Seconds(0)}));
      done(services_.log.world().sessions.at(SessionId(id)));
    });
  }
  void log_out(const SessionId& id, std::string actor, std::string reason,
               std::function<void(Result<>)> done) override {
    const controller::kinds::SessionClosed closed{.session = id, .reason = std::move(reason)};
    services_.log.propose(controller::kinds::encode(std::move(actor), closed), [done](auto committed) {
      committed ? done({}) : done(std::unexpected(committed.error()));
    });
  }
  void add_user(NewUser, std::string,
                std::function<void(Result<std::pair<SubjectId, std::string>>)> done) override {
    done(fail(ErrorCode::internal, "not here"));
  }

 private:
  controller::Services& services_;
  int count_ = 0;
};

/// Limits under which a test of a timeout doesn't take long.
inline controller::DistributionLimits quick_limits() {
  controller::DistributionLimits limits;
  limits.resync_first = std::chrono::milliseconds(50);
  limits.enrolment = {.burst = 1000, .per_second = 1000};
  return limits;
}

class ControllerRig {
 public:
  explicit ControllerRig(const controller::DistributionLimits& limits = quick_limits()) {
    config.name = "c1";
    config.trust_domain = "acme.example";
    config.listen_nodes = must(Endpoint::parse("127.0.0.1:0"));
    secrets = must(controller::open_secret_store(dir_ / "secrets.db", dir_ / "data.key"));
    authority = must(controller::open_authority({.trust_domain = "acme.example", .controller_name = "c1"},
                                                *secrets, system_clock().now()));
    flows = must(controller::open_flow_store(dir_ / "flows.db"));
    log = must(controller::make_change_log(
        {.strand = strand_,
         .store = store,
         .signer =
             [this] { return controller::LogSigner{authority->server_key(), authority->server_chain_pem()}; },
         .trust_bundle_pem = authority->trust_bundle_pem(),
         .unseal = plain_name,
         .clock = system_clock()}));
    services = std::make_unique<controller::Services>(controller::Services{.strand = strand_,
                                                                           .io = io_.get_executor(),
                                                                           .pool = io_.get_executor(),
                                                                           .clock = system_clock(),
                                                                           .config = config,
                                                                           .log = *log,
                                                                           .store = store,
                                                                           .secrets = *secrets,
                                                                           .authority = *authority,
                                                                           .flows = *flows,
                                                                           .metrics = metrics});
    identity_ = std::make_unique<FakeIdentity>(*services);
    services->identity = identity_.get();
    work_.emplace(io_.get_executor());
    thread_ = std::thread([this] { io_.run(); });
    add(installation());
    on_strand([&] {
      server = must(controller::start_distribution(*services, dir_ / "receipts.db", limits));
      return 0;
    });
  }

  ~ControllerRig() {
    on_strand([&] {
      server->stop();
      return 0;
    });
    work_.reset();
    // The log's own timers would keep the loop alive; what is left of connections doesn't use the log any
    // more.
    boost::asio::steady_timer last(strand_, std::chrono::milliseconds(20));
    last.async_wait([this](auto) {
      server.reset();
      log.reset();
    });
    thread_.join();
  }

  /// Runs `f` on the controller's strand and gives its result.
  template <class F>
  std::invoke_result_t<F> on_strand(F f) {
    std::promise<std::invoke_result_t<F>> promise;
    boost::asio::post(strand_, [&] {
      try {
        promise.set_value(f());
      } catch (...) {
        promise.set_exception(std::current_exception());
      }
    });
    return promise.get_future().get();
  }

  Result<controller::Committed> try_add(const controller::kinds::Kind& kind) {
    std::promise<Result<controller::Committed>> promise;
    boost::asio::post(strand_, [&] {
      log->propose(controller::kinds::encode("root@local", kind),
                   [&](auto result) { promise.set_value(result); });
    });
    return promise.get_future().get();
  }
  Revision add(const controller::kinds::Kind& kind) { return must(try_add(kind)).record.revision; }

  /// A join token whose secret is 32 times `byte`.
  std::string add_token(const std::string& id, char byte, bool approve, std::set<std::string> tags = {},
                        std::uint32_t uses = 100) {
    const std::string secret(32, byte);
    policy::JoinToken token{.id = TokenId(id),
                            .secret_hash = sha256(as_bytes(secret)),
                            .tags = std::move(tags),
                            .uses_left = uses,
                            .expires_at = system_clock().now() + std::chrono::hours(1),
                            .approve = approve};
    if (approve) token.source = must(Prefix::parse("127.0.0.0/8"));
    add(controller::kinds::JoinTokenCreated{token});
    return secret;
  }

  /// A device that is active, with its certificate, as an enrolment makes it.
  FakeDevice add_device(const std::string& name, std::set<std::string> tags = {}) {
    FakeDevice device{.name = name};
    const std::string token = "t-" + name;
    add_token(token, 'x', true, std::move(tags));
    controller::kinds::DeviceEnrolled enrolled{
        .device = DeviceId(name), .token = TokenId(token), .public_key_der = device.key.public_key_der()};
    std::ranges::copy(crypto::wireguard_public(crypto::wireguard_generate()), enrolled.wireguard_key.begin());
    add(enrolled);
    device.chain_pem = certificate(device, system_clock().now());
    return device;
  }
  std::string certificate(const FakeDevice& device, Timestamp now) {
    const std::string csr = must(crypto::make_csr(device.key, device.name));
    return on_strand([&] { return must(authority->issue_device(csr, DeviceId(device.name), now)); });
  }
  Revision apply_policy(const std::string& toml) {
    return add(controller::kinds::PolicyApplied{.files = {{"policy.toml", toml}}});
  }
  std::uint16_t port() { return server->port(); }

  /// Waits until `condition` holds, which is asked on the strand.
  template <class Condition>
  bool eventually(const Condition& condition) {
    const auto end = std::chrono::steady_clock::now() + Seconds(5);
    while (!on_strand(condition)) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
  }

 private:
  TempDir dir_;
  boost::asio::io_context io_;
  boost::asio::strand<boost::asio::io_context::executor_type> strand_{io_.get_executor()};

 public:
  controller::ControllerConfig config;
  controller::Metrics metrics;
  MemoryLogStore store;
  std::unique_ptr<controller::SecretStore> secrets;
  std::unique_ptr<controller::Authority> authority;
  std::unique_ptr<controller::FlowStore> flows;
  std::unique_ptr<controller::ChangeLog> log;
  std::unique_ptr<controller::Services> services;
  std::unique_ptr<controller::DistributionServer> server;

 private:
  std::unique_ptr<FakeIdentity> identity_;
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work_;
  std::thread thread_;
};

}  // namespace cordon::test
