#include "controller/distribution/enrolment.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/crypto.h"
#include "base/log.h"
#include "controller/core/change_log.h"
#include "controller/core/metrics.h"
#include "controller/core/services.h"
#include "controller/distribution/printable.h"
#include "controller/pki/authority.h"
#include "controller/pki/csr.h"
#include "controller/secrets/secret_store.h"
#include "controller/world/kinds.h"
#include "proto/cordon.pb.h"
#include "proto/features.h"
#include "proto/receipt.h"

namespace cordon::controller {

namespace {

constexpr std::uint32_t kPollSeconds = 5;
constexpr auto kPollFreshness = std::chrono::minutes(5);
constexpr std::size_t kMaxPlatform = 200;

/// The request is kept until the device connects with its certificate; it is public, the store is just
/// durable.
std::string csr_name(const DeviceId& device) {
  return "enrol-csr/" + device.value;
}

bool may_name_device(std::string_view text) {
  return !text.empty() && text.size() <= 63 && text.front() != '-' && text.back() != '-' &&
         std::ranges::all_of(
             text, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

const policy::Device* find(const policy::World& world, const DeviceId& id) {
  const auto found = world.devices.find(id);
  return found == world.devices.end() ? nullptr : &found->second;
}

}  // namespace

Enrolment::Enrolment(Services& services, const DistributionLimits& limits)
    : services_(services), limits_(limits), by_source_(limits.enrolment), renewals_(limits.renewals) {}

bool Enrolment::allowed(const Address& source) {
  return by_source_.take(source_key(source), RateLimiter::Time::clock::now());
}

void Enrolment::refuse(const Address& source, std::string_view why, const Error& error, const Done& done) {
  services_.metrics.count("enrolments_refused", why);
  by_source_.penalize(source_key(source), RateLimiter::Time::clock::now(), limits_.failed_enrolment_cost);
  log::warning("controller.enrol", "refused {}: {}", source.to_string(), error.message());
  wire::EnrolAnswer answer;
  answer.set_outcome(wire::EnrolAnswer::REFUSED);
  answer.set_reason(error.hint.empty() ? error.what : error.what + "; " + error.hint);
  done(std::move(answer));
}

Result<> Enrolment::check_token(const wire::EnrolRequest& request, const Address& source) const {
  const policy::World& world = services_.log.world();
  const Sha256 secret_hash = sha256(as_bytes(request.token_secret()));
  const auto found = world.join_tokens.find(TokenId(request.token_id()));
  static constexpr Sha256 kNobodys{};
  const bool known = found != world.join_tokens.end();
  const bool matches = equal_in_constant_time(secret_hash, known ? found->second.secret_hash : kNobodys);
  if (!known || !matches) {
    return fail(ErrorCode::unauthorized, "the join token is not valid", "ask an operator for a new one");
  }
  // Who knows the secret may be told what is wrong with it.
  const policy::JoinToken& token = found->second;
  const std::string mend = "ask an operator for a new one: cordon token create";
  if (token.revoked) return fail(ErrorCode::forbidden, "the join token was revoked", mend);
  if (services_.clock.now() >= token.expires_at) {
    return fail(ErrorCode::forbidden, "the join token expired " + format_rfc3339(token.expires_at), mend);
  }
  if (token.source && !token.source->contains(source)) {
    return fail(ErrorCode::forbidden,
                fmt::format("the join token may not be used from {}", source.to_string()), mend);
  }
  return {};
}

void Enrolment::enrol(const wire::EnrolRequest& request, const Address& source, Done done) {
  if (const auto valid = check_token(request, source); !valid) {
    return refuse(source, "token", valid.error(), done);
  }
  const auto key = csr_public_key(request.csr_pem());
  if (!key) return refuse(source, "request", key.error(), done);
  const DeviceId id(request.name());
  if (!may_name_device(request.name())) {
    return refuse(source, "name",
                  {.what = "the name is not one for a device", .hint = "1 to 63 of a-z, 0-9 and - between"},
                  done);
  }
  if (request.wireguard_public_key().size() != std::tuple_size_v<WireguardKey>) {
    return refuse(source, "request", {.what = "the WireGuard key is not 32 bytes"}, done);
  }
  const policy::Device* existing = find(services_.log.world(), id);
  if (existing != nullptr) {
    // The same machine with the same token asks again: its answer got lost.
    const bool again = existing->state != policy::DeviceState::removed &&
                       existing->token.value == request.token_id() && existing->public_key_der == *key;
    if (again) return answer(*existing, std::move(done));
    return refuse(source, "name",
                  {.what = fmt::format("the name \"{}\" is taken", id.value), .hint = "choose another one"},
                  done);
  }
  if (services_.log.world().join_tokens.at(TokenId(request.token_id())).uses_left == 0) {
    return refuse(
        source, "token",
        {.what = "the join token is used up", .hint = "ask an operator for a new one: cordon token create"},
        done);
  }
  if (const auto kept = services_.secrets.put(csr_name(id), as_bytes(request.csr_pem())); !kept) {
    return refuse(source, "storage", {.what = "the controller can't write", .hint = "try again later"}, done);
  }
  kinds::DeviceEnrolled enrolled{.device = id,
                                 .token = TokenId(request.token_id()),
                                 .public_key_der = *key,
                                 .platform = printable(request.platform(), kMaxPlatform)};
  std::ranges::copy(as_bytes(request.wireguard_public_key()), enrolled.wireguard_key.begin());
  enrolled.presharing =
      std::ranges::find(request.features(), wire::kFeatureKeys1) != request.features().end();
  services_.log.propose(kinds::encode("device:" + id.value, enrolled),
                        [self = shared_from_this(), id, source, done = std::move(done),
                         csr = request.csr_pem()](Result<Committed> committed) mutable {
                          if (!committed) return self->refuse(source, "conflict", committed.error(), done);
                          self->services_.metrics.count("enrolments");
                          // Somebody else may have asked for the same name meanwhile: what is kept is the
                          // winner's.
                          (void)self->services_.secrets.put(csr_name(id), as_bytes(csr));
                          const policy::Device* device = find(self->services_.log.world(), id);
                          if (device != nullptr) self->answer(*device, std::move(done));
                        });
}

void Enrolment::answer(const policy::Device& device, Done done) {
  wire::EnrolAnswer answer;
  answer.set_device(device.id.value);
  answer.set_trust_bundle_pem(services_.authority.trust_bundle_pem());
  if (device.state == policy::DeviceState::pending) {
    answer.set_outcome(wire::EnrolAnswer::PENDING);
    answer.set_poll_after_s(kPollSeconds);
    return done(std::move(answer));
  }
  const auto refused = [&](std::string reason) {
    services_.metrics.count("enrolments_refused", "device");
    answer.set_outcome(wire::EnrolAnswer::REFUSED);
    answer.set_reason(std::move(reason));
    done(std::move(answer));
  };
  if (device.isolated) return refused("this device is isolated; an operator can release it");
  const auto csr = services_.secrets.get(csr_name(device.id));
  if (!csr || !*csr) {
    return refused(
        "this device has connected with its certificate before, and renews it when it connects; if the "
        "certificate is lost, remove the device and enrol it again");
  }
  const auto now = RateLimiter::Time::clock::now();
  if (!renewals_.take(device.id.value, now)) {
    const auto wait = std::chrono::ceil<Seconds>(renewals_.wait(device.id.value, now));
    answer.set_outcome(wire::EnrolAnswer::PENDING);
    answer.set_poll_after_s(std::max(kPollSeconds, static_cast<std::uint32_t>(wait.count())));
    return done(std::move(answer));
  }
  issue(device, as_text(**csr), [answer, done](Result<std::string> chain) mutable {
    if (chain) {
      answer.set_outcome(wire::EnrolAnswer::ENROLLED);
      answer.set_certificate_pem(*chain);
    } else if (chain.error().code == ErrorCode::forbidden) {
      answer.set_outcome(wire::EnrolAnswer::REFUSED);
      answer.set_reason(chain.error().what);
    } else {
      // It is enrolled, and asks again.
      answer.set_outcome(wire::EnrolAnswer::PENDING);
      answer.set_poll_after_s(kPollSeconds);
    }
    done(std::move(answer));
  });
}

void Enrolment::issue(const policy::Device& device, std::string_view csr_pem,
                      std::function<void(Result<std::string>)> done) {
  const auto key = csr_public_key(csr_pem);
  if (!key) return done(std::unexpected(key.error()));
  if (*key != device.public_key_der) {
    return done(fail(ErrorCode::forbidden, "the request is not for this device's key"));
  }
  auto chain = services_.authority.issue_device(csr_pem, device.id, services_.clock.now());
  if (!chain) return done(std::unexpected(chain.error()));
  const auto info = crypto::parse_certificate(*chain);
  if (!info) return done(std::unexpected(info.error()));
  const kinds::CertificateIssued issued{
      .device = device.id, .serial_hex = info->serial_hex, .not_after = info->not_after};
  // Given out only once it is recorded.
  services_.log.propose(
      kinds::encode("controller", issued),
      [self = shared_from_this(), chain = std::move(*chain), done](Result<Committed> committed) {
        if (!committed) return done(std::unexpected(committed.error()));
        self->services_.metrics.count("certificates_issued");
        done(chain);
      });
}

void Enrolment::poll(const wire::EnrolPoll& poll, const Address& source, Done done) {
  const DeviceId id(poll.device());
  const policy::Device* device = find(services_.log.world(), id);
  const Timestamp now = services_.clock.now();
  const Timestamp at = from_us(poll.at_us());
  const Bytes key(poll.public_key_der().begin(), poll.public_key_der().end());
  const bool proven = device != nullptr && device->public_key_der == key &&
                      crypto::verify(key, wire::enrol_poll_text(id, at), as_bytes(poll.signature()));
  if (!proven) {
    return refuse(source, "poll",
                  {.what = "no such device, or it is another key's", .hint = "enrol it again"}, done);
  }
  if (at < now - kPollFreshness || at > now + kPollFreshness) {
    return refuse(source, "poll",
                  {.what = "the clock of this machine is off by more than 5 minutes", .hint = "set it"},
                  done);
  }
  if (device->state == policy::DeviceState::removed) {
    return refuse(source, "removed",
                  {.what = "this device was removed", .hint = "enrol it under another name"}, done);
  }
  answer(*device, std::move(done));
}

void Enrolment::forget_request(const DeviceId& device) {
  const auto kept = services_.secrets.get(csr_name(device));
  if (!kept || !*kept) return;
  if (const auto erased = services_.secrets.erase(csr_name(device)); !erased) {
    log::warning("controller.enrol", "can't forget the request of {}: {}", device.value,
                 erased.error().message());
  }
}

void Enrolment::renew(const DeviceId& id, const wire::RenewRequest& request, RenewDone done) {
  wire::RenewAnswer answer;
  answer.set_request(request.request());
  const auto refuse = [&](std::string reason) {
    services_.metrics.count("renewals_refused");
    answer.set_reason(std::move(reason));
    done(std::move(answer));
  };
  const policy::Device* device = find(services_.log.world(), id);
  if (device == nullptr || device->state != policy::DeviceState::active)
    return refuse("this device is not active");
  if (device->isolated) return refuse("this device is isolated; an operator can release it");
  if (!renewals_.take(id.value, RateLimiter::Time::clock::now())) {
    return refuse("too many certificates were asked for; try again in some minutes");
  }
  const auto key = csr_public_key(request.csr_pem());
  if (!key) return refuse(key.error().what);
  if (*key != device->public_key_der) return refuse("the request is not for this device's key");
  issue(*device, request.csr_pem(),
        [answer, done, bundle = services_.authority.trust_bundle_pem()](Result<std::string> chain) mutable {
          if (chain) {
            answer.set_certificate_pem(*chain);
            answer.set_trust_bundle_pem(bundle);
          } else {
            answer.set_reason("the controller can't record a certificate now; try again later");
          }
          done(std::move(answer));
        });
}

}  // namespace cordon::controller
