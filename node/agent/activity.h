#pragma once
// How long this device's sessions have been silent, for the controller: it closes those that are idle.

#include <chrono>
#include <map>
#include <string>

#include "base/ids.h"
#include "base/time.h"

namespace cordon::policy {
struct NodeState;
}
namespace cordon::wire {
class Heartbeat;
}

namespace cordon::node {

class Filter;

class Activity {
 public:
  /// How often the filter is asked: sooner than it forgets a flow that ended (node/filter/sweep.h).
  static constexpr std::chrono::seconds kInterval{8};

  /// Every now and then, with the state that is held. Costs nothing while nobody is signed in.
  void look(const Filter& filter, const policy::NodeState& state, BootNs now);
  void tell(wire::Heartbeat& heartbeat, BootNs now) const;
  /// Why nothing new is told; "" when all is well.
  const std::string& alarm() const { return alarm_; }

 private:
  std::map<SessionId, BootNs> seen_;  ///< the last packet
  BootNs looked_ = 0;
  std::string alarm_;
};

}  // namespace cordon::node
