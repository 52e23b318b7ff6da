#pragma once
// The state each node is to hold at the newest revision, and what every record changes in it, for the nodes
// that are followed.

#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "controller/log/record.h"
#include "policy/engine.h"
#include "policy/world.h"

namespace cordon::controller {

class StateSource {
 public:
  using StatePtr = std::shared_ptr<const policy::NodeState>;
  using DeltaPtr = std::shared_ptr<const policy::NodeDelta>;
  struct Affected {
    DeviceId device;
    DeltaPtr changes;  ///< null for who isn't connected
  };

  /// Follows every active device of `world`: after a restart any of them may hold leases still. The world
  /// must outlive this, and every record that it folds is told to advance().
  explicit StateSource(const policy::World& world);

  /// From now on the device's changes are told; gives its state. Null: it is not active.
  StatePtr follow(const DeviceId& device);
  void forget(const DeviceId& device) { followed_.erase(device); }
  bool follows(const DeviceId& device) const { return followed_.contains(device); }
  /// The state of a device that is followed, put together anew; null otherwise.
  StatePtr state(const DeviceId& device) const;
  /// After the world has folded `record`: the followed devices whose state is another now, and for those that
  /// are connected what changed. A device that is no longer active is left out and forgotten.
  std::vector<Affected> advance(const Record& record, const std::function<bool(const DeviceId&)>& connected);
  /// When time alone changes some state.
  Timestamp next_change_at() const { return engine_.next_change_at(); }

 private:
  const policy::World& world_;
  policy::Engine engine_;
  std::set<DeviceId> followed_;
};

/// How often nodes say that they live: a third of the shortest lease in force, 500 ms to 10 s.
std::chrono::milliseconds heartbeat_interval(const policy::World& world);

}  // namespace cordon::controller
