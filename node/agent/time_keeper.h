#pragma once
// The node's knowledge of the controller's time: the best lower bound, so that deadlines land early and never
// late (I5).

#include "base/time.h"

namespace cordon::node {

class TimeKeeper {
 public:
  enum class Change {
    none,    ///< what is known still agrees
    better,  ///< a closer bound: for what is written from now on
    moved,   ///< the controller's clock was set: deadlines in the kernel are to be written again
  };

  /// The controller read `controller_time` between our sending and receiving. So boot time at that moment
  /// lies in [sent, received]; a base that lies outside is wrong, one inside is kept, as writing deadlines
  /// anew costs.
  Change observe(BootNs sent, BootNs received, Timestamp controller_time);

  bool known() const { return known_; }
  const TimeBase& base() const { return base_; }

 private:
  bool known_ = false;
  TimeBase base_;
};

}  // namespace cordon::node
