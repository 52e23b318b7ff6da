#pragma once
// The state each node is to hold at the newest revision, and what every record changes in it. Recomputes
// whole states; an incremental engine takes this class's place without its callers noticing.

#include <map>
#include <memory>
#include <vector>

#include "controller/log/record.h"
#include "policy/node_state.h"
#include "policy/world.h"

namespace cordon::controller {

class StateSource {
 public:
  using StatePtr = std::shared_ptr<const policy::NodeState>;
  struct Affected {
    DeviceId device;
    std::vector<policy::Change> changes;
  };

  /// Follows every active device of `world`: after a restart any of them may hold leases still.
  explicit StateSource(const policy::World& world);

  /// From now on the device's changes are told; gives its state. Null: it is not active.
  StatePtr follow(const policy::World& world, const DeviceId& device);
  void forget(const DeviceId& device);
  /// The state of a device that is followed; null otherwise.
  StatePtr state(const DeviceId& device) const;
  /// Advances to `world`, which has just folded `record`: the followed devices whose state is another now.
  /// A device that is no longer active is left out and forgotten.
  std::vector<Affected> advance(const Record& record, const policy::World& world);

 private:
  std::map<DeviceId, StatePtr> states_;
};

/// How often nodes say that they live: a third of the shortest lease in force, 500 ms to 10 s.
std::chrono::milliseconds heartbeat_interval(const policy::World& world);

}  // namespace cordon::controller
