#include "tests/support/controller_rig.h"

#include "controller/pki/csr.h"

namespace cordon::test {
namespace {

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

}  // namespace

controller::DistributionLimits quick_limits() {
  controller::DistributionLimits limits;
  limits.resync_first = std::chrono::milliseconds(50);
  limits.enrolment = {.burst = 1000, .per_second = 1000};
  return limits;
}

ControllerRig::ControllerRig(const controller::DistributionLimits& limits, const Clock& clock)
    : StrandRig({.clock = clock, .dns_names = {}, .ip_addresses = {}, .plain_names = true}),
      identity_(std::make_unique<FakeIdentity>(*services)) {
  services->identity = identity_.get();
  begin();
  server = on_strand(
      [&] { return must(controller::start_distribution(*services, dir() / "receipts.db", limits)); });
}

ControllerRig::~ControllerRig() {
  on_strand([&] {
    server->stop();
    return 0;
  });
  // The log's own timers would keep the loop alive; what is left of connections doesn't use the log any more.
  finish([this] {
    server.reset();
    log.reset();
  });
}

std::string ControllerRig::add_token(const std::string& id, char byte, bool approve,
                                     std::set<std::string> tags, std::uint32_t uses) {
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

FakeDevice ControllerRig::add_device(const std::string& name, std::set<std::string> tags) {
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

std::string ControllerRig::certificate(const FakeDevice& device, Timestamp now) {
  const std::string csr = must(crypto::make_csr(device.key, device.name));
  return on_strand([&] { return must(authority->issue_device(csr, DeviceId(device.name), now)); });
}

}  // namespace cordon::test
