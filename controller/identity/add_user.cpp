// Adding a person: the hash is made on the pool, the secrets are durable before the record that names the
// person.

#include <fmt/format.h>
#include <sodium.h>

#include "controller/identity/local_identity.h"
#include "controller/identity/totp.h"
#include "controller/identity/user_name.h"
#include "controller/world/kinds.h"

namespace cordon::controller {

struct LocalIdentity::Addition {
  NewUser user;
  std::string actor;
  std::function<void(Result<std::pair<SubjectId, std::string>>)> done;
  SubjectId id{fmt::format("u-{}", to_hex(random_bytes(8)))};
  Bytes totp = random_bytes(kTotpSecretBytes);
  Result<std::string> hash = fail(ErrorCode::internal, "not hashed yet");
  ~Addition() { sodium_memzero(user.password.data(), user.password.size()); }
};

namespace {

Result<> check_new(const policy::World& world, const Identity::NewUser& user) {
  CORDON_TRY(check_user_name(user.name));
  CORDON_TRY(check_password_policy(user.password));
  const auto known = world.user_ids.find({"local", user.name});
  if (known == world.user_ids.end()) return {};
  return fail(ErrorCode::conflict, fmt::format("there is a user \"{}\" already", user.name),
              world.users.at(known->second).disabled ? "the account is disabled" : "");
}

}  // namespace

void LocalIdentity::add_user(NewUser user, std::string actor,
                             std::function<void(Result<std::pair<SubjectId, std::string>>)> done) {
  if (const auto good = check_new(parts_.log.world(), user); !good)
    return done(std::unexpected(good.error()));
  if (!names_being_added_.insert(user.name).second) {
    return done(fail(ErrorCode::conflict, fmt::format("user \"{}\" is being added already", user.name)));
  }
  auto addition = std::make_shared<Addition>();
  addition->user = std::move(user);
  addition->actor = std::move(actor);
  addition->done = std::move(done);
  const bool queued = on_pool(
      [addition, cost = limits_.cost] { addition->hash = hash_password(addition->user.password, cost); },
      [this, addition] { record_user(addition); });
  if (!queued) {
    names_being_added_.erase(addition->user.name);
    addition->done(
        fail(ErrorCode::exhausted, "too many passwords are being hashed now", "try again in a second"));
  }
}

void LocalIdentity::record_user(const std::shared_ptr<Addition>& addition) {
  const SubjectId id = addition->id;
  const auto give_up = [this, addition, id](Error error) {
    names_being_added_.erase(addition->user.name);
    // Without its record the person doesn't exist: what was kept for them goes.
    (void)parts_.secrets.erase(password_secret(id));
    (void)parts_.secrets.erase(totp_secret(id));
    addition->done(std::unexpected(std::move(error)));
  };
  const auto keep = [&]() -> Result<std::string> {
    if (!addition->hash) return std::unexpected(addition->hash.error());
    CORDON_TRY(parts_.secrets.put(password_secret(id), as_bytes(*addition->hash)));
    CORDON_TRY(parts_.secrets.put(totp_secret(id), addition->totp));
    return seal_personal(parts_.secrets, id.value, addition->user.name);
  };
  auto sealed = keep();
  if (!sealed) return give_up(std::move(sealed).error());
  const kinds::UserAdded added{.user = id, .issuer = "local", .sealed_name = std::move(*sealed)};
  parts_.log.propose(
      kinds::encode(addition->actor, added),
      [this, addition, give_up, alive = std::weak_ptr<int>(alive_)](Result<Committed> result) {
        if (!alive.lock()) return;
        if (!result) return give_up(std::move(result).error());
        names_being_added_.erase(addition->user.name);
        addition->done(std::pair(addition->id, otpauth_uri(addition->user.name, addition->totp)));
      });
}

}  // namespace cordon::controller
