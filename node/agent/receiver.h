#pragma once
// Gathers what the controller sends into something that can be applied whole: a state from its parts, or a
// delta.

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "policy/node_state.h"

namespace cordon::wire {
class Delta;
class StateBegin;
class StateEnd;
class StatePart;
}  // namespace cordon::wire

namespace cordon::node {

/// More entries than any node's maps hold: a controller that sends more is refused, not followed.
inline constexpr std::size_t kMostEntries = 4u << 20;

/// A whole state whose digest is as announced.
struct WholeState {
  std::uint64_t sequence = 0;
  Revision revision;
  bool raise_epoch = false;  ///< a key was gone in between: flows decided before are decided again
  policy::NodeState state;
  SetDigest digest;
};

/// A delta on a held state: only what really changes, removals first, and the digest of the outcome as
/// announced.
struct DeltaState {
  std::uint64_t sequence = 0;
  Revision revision;
  bool provisional = false;
  bool raise_epoch = false;
  std::vector<policy::Change> changes;
  SetDigest digest;
};

class Receiver {
 public:
  /// A new session: sequences start over.
  void reset();

  /// An error refuses the state: NACK once, what still comes of it is passed over.
  Result<> begin(const wire::StateBegin& begin);
  Result<> part(const wire::StatePart& part);
  /// None: the end of a state that was refused before.
  Result<std::optional<WholeState>> end(const wire::StateEnd& end);

  Result<DeltaState> delta(const wire::Delta& delta, const policy::NodeState& held, const SetDigest& digest);

 private:
  Result<> advance(std::uint64_t sequence);

  std::uint64_t last_sequence_ = 0;
  std::optional<WholeState> gathering_;
};

}  // namespace cordon::node
