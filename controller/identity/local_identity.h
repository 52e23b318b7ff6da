#pragma once
// People known to this installation itself: a password and a one-time code, both always.

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string_view>

#include "base/bytes.h"
#include "controller/core/change_log.h"
#include "controller/identity/hash_pool.h"
#include "controller/identity/login.h"
#include "controller/identity/passwords.h"
#include "controller/identity/slow_down.h"
#include "controller/secrets/secret_store.h"

namespace cordon::controller {

struct IdentityLimits {
  HashCost cost;
  unsigned threads = 2;
  std::size_t queue = 64;            ///< attempts that may wait for a thread
  std::size_t queue_per_device = 4;  ///< of one device, running ones included
  SlowDownLimits slow_down;
  Seconds longest_session{12 * 3600};
};

struct IdentityParts {
  ChangeLog& log;
  SecretStore& secrets;
  const Clock& clock;
  std::function<void(std::string_view outcome)> count = [](std::string_view) {
  };  ///< logins, by a word of ours
  std::function<void(std::function<void()>)>
      post;  ///< runs a function on the strand; callable from any thread
};

/// What `totp` and `password` secrets of a person are called in the secret store.
std::string password_secret(const SubjectId& user);
std::string totp_secret(const SubjectId& user);
std::string totp_used_secret(const SubjectId& user);  ///< the last step that served, 8 bytes big-endian

/// All calls on the strand; `parts` outlive it.
std::unique_ptr<Identity> make_local_identity(IdentityParts parts, IdentityLimits limits);

class LocalIdentity final : public Identity {
 public:
  LocalIdentity(IdentityParts parts, IdentityLimits limits);

  void log_in(LoginAttempt attempt, LoginDone done) override;
  void log_out(const SessionId& session, std::string actor, std::string reason,
               std::function<void(Result<>)> done) override;
  void add_user(NewUser user, std::string actor,
                std::function<void(Result<std::pair<SubjectId, std::string>>)> done) override;

 private:
  struct Attempt;   ///< one login on its way
  struct Addition;  ///< one new person on the way
  using AttemptPtr = std::shared_ptr<Attempt>;

  Result<> load(Attempt& attempt);
  Result<std::uint64_t> last_used_step(const Attempt& attempt);
  void judge(const AttemptPtr& attempt, bool password_is_right);
  void refuse_wrong(const AttemptPtr& attempt);
  void refuse_for_now(const AttemptPtr& attempt, const Error& error);
  void close_previous_then_open(const AttemptPtr& attempt);
  void open(const AttemptPtr& attempt);
  void release(const Attempt& attempt);
  void record_user(const std::shared_ptr<Addition>& addition);
  /// Runs `work` on the pool, then `then` on the strand if this still lives.
  bool on_pool(std::function<void()> work, std::function<void()> then);

  IdentityParts parts_;
  IdentityLimits limits_;
  SlowDown slow_down_;
  std::string dummy_hash_;  ///< of nobody's password: unknown people cost the same time
  std::map<DeviceId, std::size_t> running_;
  std::set<std::string> names_being_added_;
  std::shared_ptr<int> alive_ = std::make_shared<int>();
  HashPool pool_;  ///< last: its threads end before anything they use
};

}  // namespace cordon::controller
