#pragma once
// What one node is sent, in which order, and what its acks mean. Pure: time and heads are passed in.
//
//   feed := whole | delta            each with the next sequence; at most `window` unacked
//   whole := StateBegin StatePart* StateEnd
//
// What takes access away goes first, in a delta of its own. What lets a source begin goes last, when the
// targets have acked or `hold` has passed. After a NACK or a digest that differs the node is sent a whole
// state: after a pause, unless it takes access away.

#include <deque>
#include <optional>

#include "base/time.h"
#include "controller/distribution/limits.h"
#include "controller/distribution/outbox.h"
#include "controller/distribution/receipt_ledger.h"
#include "controller/log/record.h"

namespace cordon::wire {
class Ack;
class Entry;
class ToNode;
}  // namespace cordon::wire

namespace cordon::controller {

class StateFeed {
 public:
  using Time = std::chrono::steady_clock::time_point;
  explicit StateFeed(const DistributionLimits& limits) : limits_(limits), backoff_(limits.resync_first) {}

  /// `wanted` as of `revision`; `holds_it`: the node proved by its digest that it has it.
  void start(const policy::NodeState& wanted, bool holds_it, Revision revision, Time now);
  void add(const policy::NodeDelta& delta, Revision revision, Time now);

  /// Writes the next message to `out`; false: nothing may be sent now.
  bool next(const SignedHead& head, Time now, wire::ToNode& out);
  /// What next() would write now takes access away, or stands before what does.
  bool urgent(Time now) const;
  /// When next() may have more without anybody's doing.
  std::optional<Time> wake() const;

  /// What the ack proves; `protocol`: its receipt is not what this node was sent, or not signed with
  /// `key_der`. `conflict`: the node holds something else (it will be sent a whole state).
  Result<SignedReceipt> ack(const wire::Ack& ack, const DeviceId& device, ByteView key_der, Time now);
  /// False: the sequence was none that is unacked.
  bool nack(std::uint64_t sequence, Time now);

  Revision complete() const { return complete_; }  ///< enforced whole up to here
  Revision ready() const { return ready_; }  ///< enforced up to here but for what its flows' sources wait for
  bool settled() const { return in_flight_.empty() && outbox_.empty() && !wants_whole_ && !in_whole_; }
  /// The revision whose targets are waited for; nullopt: nothing is held.
  std::optional<Revision> holding() const;
  void release() { hold_until_.reset(); }
  const policy::NodeState& held() const { return outbox_.held(); }
  /// Since when the node owes an ack for something that takes access away; nullopt: it owes none.
  std::optional<Time> owes_since() const;
  /// The node holds the key or is to be told of it.
  bool concerns(const policy::Key& key) const { return outbox_.concerns(key); }

 private:
  struct InFlight {
    std::uint64_t sequence = 0;
    SignedHead head;
    Sha256 digest{};
    Revision complete, ready;
    std::vector<policy::Key>
        removed;  ///< would be lost with a NACK, and must still be known to have happened
  };
  void begin_whole(const SignedHead& head, wire::ToNode& out);
  void continue_whole(wire::ToNode& out);
  void delta(Outbox::Which which, const SignedHead& head, wire::ToNode& out);
  InFlight flight(const SignedHead& head);
  void lose_flights(Time now);
  void note_removed(const std::vector<Outbox::Out>& taken, std::vector<policy::Key>& removed) const;

  const DistributionLimits& limits_;
  Outbox outbox_;
  std::deque<InFlight> in_flight_;
  std::uint64_t sequence_ = 0;
  Revision newest_, complete_, ready_;
  bool greet_ = false;  ///< a delta is due for its receipt, though it may hold nothing

  bool wants_whole_ = false;
  Time whole_at_{};
  DistributionLimits::Millis backoff_;
  std::optional<InFlight> in_whole_;
  std::vector<Outbox::Out> parts_;
  std::size_t parts_sent_ = 0;
  std::set<policy::Key> tombstones_;

  struct Reduction {
    Revision revision;
    Time since;
  };
  void note_reduction(Revision revision, Time now);
  std::deque<Reduction> reductions_;  ///< unacked, oldest first

  std::optional<Time> hold_until_;
  Revision held_revision_;
};

}  // namespace cordon::controller
