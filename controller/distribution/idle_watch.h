#pragma once
// Closes sessions that have had no traffic for longer than the policy's `[sessions] idle`. On the strand.

#include <functional>
#include <map>
#include <memory>
#include <set>

#include "base/ids.h"
#include "base/time.h"

namespace cordon::controller {

class ChangeLog;

/// What a session did is told by its own device's node; of a node that is away nothing is assumed: what its
/// sessions may reach ends with its leases anyway. Counted by the clock that nobody sets. What was told isn't
/// in the log: after a restart every session counts as active at that moment.
class IdleWatch : public std::enable_shared_from_this<IdleWatch> {
 public:
  IdleWatch(ChangeLog& log, const Clock& clock);

  /// `node` says when a packet of the session was seen last. Of sessions of other devices nothing is taken.
  void heard(const DeviceId& node, const SessionId& session, Seconds silent);
  /// Every now and then. `cannot_tell`: the node is connected and of a release that tells no activity. Its
  /// sessions count as active, since they would all be cut in the midst of work otherwise; `reauthenticate`
  /// ends them, after 12 h at most.
  void check(const std::function<bool(const DeviceId&)>& cannot_tell);

 private:
  void close(const SessionId& session);

  ChangeLog& log_;
  const Clock& clock_;
  std::map<SessionId, BootNs> active_;  ///< when each was last
  std::set<SessionId> closing_;
  BootNs checked_ = 0;
};

}  // namespace cordon::controller
