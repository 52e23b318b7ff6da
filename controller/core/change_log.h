#pragma once
// The one writer: takes proposals, checks them against the world, commits them in groups, folds, tells
// everyone. All calls on the controller's strand; storage work runs on a thread of its own and posts back.

#include <functional>
#include <vector>

#include "controller/log/record.h"
#include "controller/world/policy_history.h"
#include "policy/world.h"

namespace cordon::controller {

/// What became of a proposal, after it is durable and folded.
struct Committed {
  Record record;
  SignedHead head;
};

class ChangeLog {
 public:
  virtual ~ChangeLog() = default;

  /// The world as of the last committed record. Valid until the next await: never kept.
  virtual const policy::World& world() const = 0;
  virtual const SignedHead& head() const = 0;
  /// What became of each policy. As long-lived as the world.
  virtual const PolicyHistory& policies() const = 0;
  /// What may be written: a proposal of a kind or version that needs a higher format is refused (`conflict`).
  virtual std::uint32_t format() const = 0;
  /// When the storage's head was last read successfully (boot-time clock): leases are confirmed only while
  /// this is under 5 s old.
  virtual bool storage_is_fresh() const = 0;

  /// Queues a change. `done` is called on the strand once it is durable and folded, or with why not: what the
  /// world forbids (`conflict`, `not_found`, ...) or a storage that doesn't write (`unavailable`). Proposals
  /// that touch the same things never share a batch, so each is judged by a world that has seen the one
  /// before.
  virtual void propose(Proposal proposal, std::function<void(Result<Committed>)> done) = 0;

  /// Called on the strand after each record is folded, in order, before `done`. `before` can't be kept:
  /// listeners compute what they need from the record and the new world.
  using Listener = std::function<void(const Record&, const policy::World&)>;
  virtual void on_record(Listener listener) = 0;
};

}  // namespace cordon::controller
