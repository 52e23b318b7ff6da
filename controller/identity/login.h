#pragma once
// Logins of people: password (Argon2id) and TOTP, slowed down by (account, device). Hashing runs on a bounded
// pool.

#include <functional>
#include <memory>
#include <string>

#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "policy/world.h"

namespace cordon::controller {

struct LoginAttempt {
  DeviceId device;  ///< proven by mTLS
  std::uint32_t uid = 0;
  std::string user, password, totp;
};

struct LoginRefused {
  std::string reason;  ///< one sentence, the same whichever part was wrong
  Seconds retry_after{0};
};

class Identity {
 public:
  virtual ~Identity() = default;
  using LoginDone = std::function<void(std::expected<policy::Session, LoginRefused>)>;
  /// `done` on the strand, after the session's record is durable.
  virtual void log_in(LoginAttempt attempt, LoginDone done) = 0;
  virtual void log_out(const SessionId& session, std::string actor, std::string reason,
                       std::function<void(Result<>)> done) = 0;
  /// Adds a person with a password; gives the TOTP secret's otpauth:// URI, shown once.
  struct NewUser {
    std::string name, password;
  };
  virtual void add_user(NewUser user, std::string actor,
                        std::function<void(Result<std::pair<SubjectId, std::string>>)> done) = 0;
};

struct Services;
/// People known to this installation itself. All calls on the strand; `services` outlives it.
std::unique_ptr<Identity> make_identity(Services& services);

}  // namespace cordon::controller
