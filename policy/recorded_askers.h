#pragma once
// Who sent a recorded flow, as far as a rule could select them now.

#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "policy/conditions.h"
#include "policy/plan.h"
#include "policy/world.h"

namespace cordon::policy {

class RecordedAskers {
 public:
  /// The world must outlive this.
  RecordedAskers(const World& world, Timestamp now);

  /// The session that the flow came from if it is open still (the latest, if there are several), else one as
  /// after a login now; a machine is its device. A device of null: nobody known and active. Valid as long as
  /// this.
  const Asker& find(const ObservedFlow& flow);

 private:
  Asker make(const ObservedFlow& flow);

  const World& world_;
  const Timestamp now_;
  std::unordered_map<SubjectId, std::vector<const Session*>> sessions_;
  std::map<std::pair<SubjectId, DeviceId>, Asker> found_;
  std::map<std::pair<SubjectId, DeviceId>, Session> would_be_;
};

/// The session that `user` would have after signing in on `device` just now. Claims are those of the
/// person's open sessions.
Session would_be_session(const World& world, const User& user, const DeviceId& device, Assurance assurance,
                         Timestamp now);

}  // namespace cordon::policy
