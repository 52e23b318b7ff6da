#pragma once
// Takes states from the controller: checks that the log they come from is the one it knows, has them applied,
// and answers with a signed receipt or with a NACK that says why; the last good state is kept.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/crypto.h"
#include "base/ids.h"
#include "base/time.h"
#include "node/agent/applier.h"
#include "node/agent/receiver.h"
#include "node/agent/time_keeper.h"
#include "node/link/head.h"
#include "policy/node_state.h"

namespace cordon::wire {
class SignedHead;
class ToController;
class ToNode;
}  // namespace cordon::wire

namespace cordon::node {

/// Who we are and whom we believe; renewed with the certificate.
struct Standing {
  DeviceId device;
  std::string domain;  ///< trust domain
  std::string roots_pem;
  std::optional<crypto::PrivateKey> key;
};

class StateKeeper {
 public:
  StateKeeper(Applier& applier, HeadMemory& heads, const TimeKeeper& time, const Clock& clock);
  ~StateKeeper();

  void set_standing(Standing standing) { standing_ = std::move(standing); }
  const Standing& standing() const { return standing_; }
  /// What was held when the daemon ended. The kernel is the truth: it is shown, and never claimed to be held.
  void start_from(Revision revision, policy::NodeState state);
  void begin_session();

  /// StateBegin, StatePart, StateEnd, Delta; true when it was one. `answer` is filled with an Ack or a Nack
  /// when one is due. When it made the keeper busy, that comes from `written`.
  bool take(const wire::ToNode& message, std::optional<wire::ToController>& answer);

  /// A whole state of so many entries is written beside the loop: between `take` and `written` no state is
  /// held, and nothing may be called that takes or applies one.
  static constexpr std::size_t kManyEntries = 1u << 13;
  bool busy() const { return coming_ != nullptr; }
  /// While busy, for another thread, once.
  void write();
  /// When it did. What is given back, the state before among it, is large: letting it go takes a while.
  std::shared_ptr<const void> written(std::optional<wire::ToController>& answer);

  /// A head that came with something else. False: what came with it is not to be believed.
  bool take_head(const wire::SignedHead& head);
  /// Writes all deadlines again, after the controller's clock was set. After an error no state is held.
  Result<> rewrite();

  const policy::NodeState& state() const { return state_; }
  Revision revision() const { return revision_; }
  /// The state is what this process applied, so its digest may be claimed. False after a failure to apply:
  /// only a whole state, compared with what the kernel holds, is taken then.
  bool holds() const { return holds_; }
  std::uint64_t sequence() const { return sequence_; }
  const Sha256& digest() const { return digest_.value(); }
  bool acked_in_session() const { return acked_in_session_; }
  /// The shortest lease in force, the node's own included.
  Seconds shortest_lease() const { return shortest_lease_; }
  /// "" or what is wrong with the log.
  const std::string& head_alarm() const { return head_alarm_; }
  /// Grows with each applied state.
  std::uint64_t applied() const { return applied_; }
  /// What the last applied state changed; null: it was a whole one.
  const std::vector<policy::Change>* last_changes() const {
    return last_changes_ ? &*last_changes_ : nullptr;
  }
  /// Grows with each state that took something away.
  std::uint64_t cuts() const { return cuts_; }

 private:
  std::optional<Head> check(const wire::SignedHead& head);
  Result<> begin(const wire::ToNode& message);
  struct Coming;
  Result<> begin_whole(WholeState whole);
  Result<> end_whole();
  Result<> apply_delta(const wire::ToNode& message);
  /// No state is held unless it was applied, read back and equal.
  Result<ApplyReport> held(Result<ApplyReport> applied);
  wire::ToController ack(std::uint64_t sequence) const;
  static wire::ToController nack(std::uint64_t sequence, const Error& why);
  void became(Revision revision, std::uint64_t sequence, const SetDigest& digest);

  Applier& applier_;
  HeadMemory& heads_;
  const TimeKeeper& time_;
  const Clock& clock_;
  Standing standing_;
  Receiver receiver_;
  std::shared_ptr<Coming> coming_;   ///< null while not busy
  std::optional<Head> coming_head_;  ///< of the state that is being gathered
  Head head_;                        ///< of the last applied

  policy::NodeState state_;
  SetDigest digest_;
  std::optional<std::vector<policy::Change>> last_changes_;
  Revision revision_;
  std::uint64_t sequence_ = 0, applied_ = 0, cuts_ = 0;
  bool holds_ = false, acked_in_session_ = false;
  Seconds shortest_lease_{Seconds::max()};
  std::string head_alarm_;
};

}  // namespace cordon::node
