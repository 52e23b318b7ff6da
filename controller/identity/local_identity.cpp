#include "controller/identity/local_identity.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>

#include "base/log.h"
#include "controller/identity/totp.h"
#include "controller/identity/user_name.h"
#include "controller/world/kinds.h"

namespace cordon::controller {
namespace {

constexpr std::string_view kWrong = "the user name, the password or the code is wrong";
constexpr std::string_view kSlowed = "too many failed logins of this account on this device";
constexpr std::string_view kBusy = "too many logins are being checked now";

const policy::User* find_user(const policy::World& world, const std::string& name) {
  const auto found = world.user_ids.find({"local", name});
  return found == world.user_ids.end() ? nullptr : &world.users.at(found->second);
}

/// Why nobody can log in on that device; empty: they can.
std::string refused_device(const policy::World& world, const DeviceId& id) {
  const auto it = world.devices.find(id);
  if (it == world.devices.end() || it->second.state != policy::DeviceState::active) {
    return "this device is not approved; ask an operator to approve it";
  }
  if (it->second.isolated) return "this device is isolated; ask an operator to release it";
  return {};
}

std::string new_id(std::string_view prefix) {
  return fmt::format("{}-{}", prefix, to_hex(random_bytes(8)));
}

}  // namespace

std::string password_secret(const SubjectId& user) {
  return "password/" + user.value;
}
std::string totp_secret(const SubjectId& user) {
  return "totp/" + user.value;
}
std::string totp_used_secret(const SubjectId& user) {
  return "totp-used/" + user.value;
}

struct LocalIdentity::Attempt {
  LoginAttempt asked;
  LoginDone done;
  std::string account;  ///< a subject id, or a name nobody has, hashed: both slow down alike
  std::optional<SubjectId> user;
  std::string hash;
  Bytes totp_secret;
  Timestamp at{};
  ~Attempt() { sodium_memzero(asked.password.data(), asked.password.size()); }
};

LocalIdentity::LocalIdentity(IdentityParts parts, IdentityLimits limits)
    : parts_(std::move(parts)),
      limits_(limits),
      slow_down_(limits.slow_down),
      pool_(limits.threads, limits.queue) {
  const Bytes nobody = random_bytes(32);
  dummy_hash_ = hash_password(as_text(nobody), limits_.cost).value_or("");
}

std::unique_ptr<Identity> make_local_identity(IdentityParts parts, IdentityLimits limits) {
  return std::make_unique<LocalIdentity>(std::move(parts), limits);
}

bool LocalIdentity::on_pool(std::function<void()> work, std::function<void()> then) {
  return pool_.submit([post = parts_.post, work = std::move(work), then = std::move(then),
                       alive = std::weak_ptr<int>(alive_)] {
    work();
    post([then, alive] {
      if (alive.lock()) then();
    });
  });
}

void LocalIdentity::log_in(LoginAttempt asked, LoginDone done) {
  auto attempt = std::make_shared<Attempt>();
  attempt->asked = std::move(asked);
  attempt->done = std::move(done);
  attempt->at = parts_.clock.now();
  const LoginAttempt& who = attempt->asked;
  const auto refuse = [&](std::string_view reason, Seconds retry_after, std::string_view counted) {
    parts_.count(counted);
    attempt->done(std::unexpected(LoginRefused{std::string(reason), retry_after}));
  };
  const policy::World& world = parts_.log.world();
  if (const std::string reason = refused_device(world, who.device); !reason.empty()) {
    return refuse(reason, Seconds{0}, "device");
  }
  if (who.password.size() > kMaxPasswordBytes) attempt->asked.password.resize(kMaxPasswordBytes + 1);
  const std::string name = normalized_user_name(who.user);
  const policy::User* user = find_user(world, name);
  if (user != nullptr && !user->disabled) attempt->user = user->id;
  attempt->account = user != nullptr ? user->id.value : "unknown/" + to_hex(sha256(as_bytes(name)));

  if (const Seconds wait = slow_down_.wait(attempt->account, who.device, attempt->at); wait > Seconds{0}) {
    return refuse(kSlowed, wait, "slowed");
  }
  if (const auto it = running_.find(who.device);
      it != running_.end() && it->second >= limits_.queue_per_device) {
    return refuse(kBusy, Seconds{1}, "busy");
  }
  if (const auto loaded = load(*attempt); !loaded) {
    log::error("controller.identity", "login on {}: {}", who.device.value, loaded.error().message());
    return refuse("logins can't be checked now: the secret store doesn't answer", Seconds{5}, "storage");
  }
  auto is_right = std::make_shared<bool>(false);
  slow_down_.begin(attempt->account, who.device, attempt->at);
  ++running_[who.device];
  const bool queued =
      on_pool([attempt, is_right] { *is_right = verify_password(attempt->hash, attempt->asked.password); },
              [this, attempt, is_right] { judge(attempt, *is_right); });
  if (!queued) {
    release(*attempt);
    slow_down_.abandoned(attempt->account, who.device);
    refuse(kBusy, Seconds{1}, "busy");
  }
}

/// The same reads for everybody, so that an unknown name takes the same path as a known one.
Result<> LocalIdentity::load(Attempt& attempt) {
  const SubjectId subject = attempt.user.value_or(SubjectId("nobody"));
  CORDON_ASSIGN(const auto hash, parts_.secrets.get(password_secret(subject)));
  CORDON_ASSIGN(const auto secret, parts_.secrets.get(totp_secret(subject)));
  attempt.hash = hash ? std::string(as_text(*hash)) : dummy_hash_;
  attempt.totp_secret = secret ? *secret : Bytes(kTotpSecretBytes, 0);
  if (!hash || !secret) attempt.user.reset();
  return {};
}

Result<std::uint64_t> LocalIdentity::last_used_step(const Attempt& attempt) {
  const SubjectId subject = attempt.user.value_or(SubjectId("nobody"));
  CORDON_ASSIGN(const auto stored, parts_.secrets.get(totp_used_secret(subject)));
  std::uint64_t step = 0;
  for (const std::uint8_t byte : stored.value_or(Bytes{})) step = step << 8 | byte;
  return step;
}

void LocalIdentity::release(const Attempt& attempt) {
  const auto it = running_.find(attempt.asked.device);
  if (it != running_.end() && --it->second == 0) running_.erase(it);
}

void LocalIdentity::judge(const AttemptPtr& attempt, bool password_is_right) {
  release(*attempt);
  const auto last_used = last_used_step(*attempt);
  if (!last_used) return refuse_for_now(attempt, last_used.error());
  const auto step = totp_match(attempt->totp_secret, attempt->asked.totp, attempt->at, *last_used);
  if (!password_is_right || !step || !attempt->user) return refuse_wrong(attempt);
  // While the hash ran, the person may have been disabled and the device isolated.
  const policy::World& world = parts_.log.world();
  const auto user = world.users.find(*attempt->user);
  if (user == world.users.end() || user->second.disabled) return refuse_wrong(attempt);
  if (const std::string reason = refused_device(world, attempt->asked.device); !reason.empty()) {
    slow_down_.abandoned(attempt->account, attempt->asked.device);
    return attempt->done(std::unexpected(LoginRefused{reason}));
  }
  Bytes used;
  put_u64(used, *step);
  if (const auto put = parts_.secrets.put(totp_used_secret(*attempt->user), used); !put) {
    return refuse_for_now(attempt, put.error());
  }
  slow_down_.succeeded(attempt->account, attempt->asked.device);
  close_previous_then_open(attempt);
}

void LocalIdentity::refuse_wrong(const AttemptPtr& attempt) {
  parts_.count("wrong");
  const LoginAttempt& who = attempt->asked;
  const auto failure = slow_down_.failed(attempt->account, who.device, parts_.clock.now());
  if (failure.begins_slow_down) {
    const kinds::LoginSlowed slowed{
        .account = attempt->account.starts_with("unknown/") ? "unknown" : attempt->account,
        .device = who.device,
        .failures = failure.failures};
    parts_.log.propose(kinds::encode("device:" + who.device.value, slowed), [](Result<Committed> result) {
      if (!result) log::warning("controller.identity", "recording a slow-down: {}", result.error().message());
    });
  }
  attempt->done(std::unexpected(LoginRefused{std::string(kWrong), failure.retry_after}));
}

void LocalIdentity::refuse_for_now(const AttemptPtr& attempt, const Error& error) {
  parts_.count("storage");
  slow_down_.abandoned(attempt->account, attempt->asked.device);
  log::error("controller.identity", "login on {}: {}", attempt->asked.device.value, error.message());
  attempt->done(std::unexpected(LoginRefused{"the login can't be recorded now: " + error.what, Seconds{5}}));
}

void LocalIdentity::close_previous_then_open(const AttemptPtr& attempt) {
  const LoginAttempt& who = attempt->asked;
  const policy::Sessions& sessions = parts_.log.world().sessions;
  for (const SessionId& id : sessions.on(who.device)) {
    if (sessions.at(id).uid != who.uid) continue;
    const kinds::SessionClosed closed{.session = id, .reason = "replaced by a new login"};
    parts_.log.propose(kinds::encode("device:" + who.device.value, closed),
                       [this, attempt, alive = std::weak_ptr<int>(alive_)](Result<Committed> result) {
                         if (!alive.lock()) return;
                         // Closed by somebody else meanwhile is as good.
                         if (!result && result.error().code != ErrorCode::not_found) {
                           return refuse_for_now(attempt, result.error());
                         }
                         close_previous_then_open(attempt);
                       });
    return;
  }
  open(attempt);
}

void LocalIdentity::open(const AttemptPtr& attempt) {
  const LoginAttempt& who = attempt->asked;
  const Timestamp now = parts_.clock.now();
  // The shorter of the site's and the policy's; sessions that are open keep the end they have.
  const Seconds longest =
      std::min(limits_.longest_session, parts_.log.world().policy->sessions.reauthenticate);
  const kinds::SessionOpened opened{.session = {.id = SessionId(new_id("s")),
                                                .user = *attempt->user,
                                                .device = who.device,
                                                .assurance = policy::Assurance::aal2,
                                                .authenticated_at = now,
                                                .ends_at = now + longest,
                                                .uid = who.uid}};
  parts_.log.propose(
      kinds::encode("device:" + who.device.value, opened),
      [this, attempt, id = opened.session.id, alive = std::weak_ptr<int>(alive_)](Result<Committed> result) {
        if (!alive.lock()) return;
        if (!result) return refuse_for_now(attempt, result.error());
        const auto& sessions = parts_.log.world().sessions;
        const auto it = sessions.find(id);
        if (it == sessions.end()) {
          return attempt->done(std::unexpected(LoginRefused{"the session was closed at once"}));
        }
        parts_.count("opened");
        attempt->done(it->second);
      });
}

void LocalIdentity::log_out(const SessionId& session, std::string actor, std::string reason,
                            std::function<void(Result<>)> done) {
  const kinds::SessionClosed closed{.session = session, .reason = std::move(reason)};
  parts_.log.propose(kinds::encode(std::move(actor), closed),
                     [done = std::move(done)](Result<Committed> result) {
                       if (!result) return done(std::unexpected(std::move(result).error()));
                       done({});
                     });
}

}  // namespace cordon::controller
