#pragma once
// Do a rule's conditions hold for a principal, and until when? (P3 to P7, P11, P12)

#include <optional>
#include <string>
#include <vector>

#include "policy/model.h"

namespace cordon::policy {

/// Who asks: a session (null: none) of a user on a device, or the device for itself.
struct Asker {
  const Device* device = nullptr;
  const Session* session = nullptr;
  const User* user = nullptr;
};

/// What is so now, and the first moment after now at which it no longer is, if nothing changes but time.
/// kNever: it stays. Exact, however far that is, at the cost of looking at every edge of some five weeks
/// around each kind of change of offset: a millisecond for hours with a few windows that never meet others.
struct Outlook {
  bool holds = false;
  Timestamp until = kNever;
};

/// The conditions of an allow (`from.devices` and `when`) or of a forbid (`from.devices`, `when`, `unless`),
/// for somebody whom `from` selects. Session end and isolation are not looked at.
Outlook outlook(const Policy& policy, const Rule& rule, const Asker& asker, Timestamp now);

/// Just whether they hold.
bool holds(const Policy& policy, const Rule& rule, const Asker& asker, Timestamp now);

struct FailedCondition {
  std::string condition, needed, found;
};
/// For an allow: what fails, in the order of the language's page. Empty when it holds.
std::vector<FailedCondition> failed(const Policy& policy, const Rule& rule, const Asker& asker,
                                    Timestamp now);

}  // namespace cordon::policy
