#pragma once
// The oracle: so plain that it can be checked by eye. Everything faster is tested against it.

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/time.h"
#include "policy/conditions.h"
#include "policy/model.h"
#include "policy/world.h"

namespace cordon::policy {

/// Who asks: a session, or a device acting for itself.
using PrincipalRef = std::variant<SessionId, DeviceId>;

/// One flow asked about. For ICMP `port` is the type; protocols without ports use 0.
struct Query {
  PrincipalRef principal;
  DeviceId target;
  std::uint8_t protocol = kTcp;
  std::uint16_t port = 0;
};

/// One rule that could have decided, and why it did or didn't.
struct Because {
  std::string rule;
  bool holds = false;
  std::vector<FailedCondition> failed;
  std::optional<int> trust;  ///< under this rule (P5)
};

struct Decision {
  Verdict verdict = Verdict::deny;
  std::string rule;             ///< empty on a plain deny
  Timestamp deadline = kNever;  ///< of an allow (P7)
  Seconds lease{0};             ///< of the deciding allow
  bool observed = false;        ///< P9
  bool responder = false;       ///< the deciding allow is marked `responders`
  std::optional<int> health;    ///< of the principal's device, tenths; none where facts are missing
  std::optional<int> trust;     ///< under the deciding rule, percent; none where facts are missing
  std::string reason;           ///< of a deny before any rule is read: "unknown target", "isolated", ...
  std::vector<Because> because;
};

/// P1-P12 as of `now`; leases counted as confirmed at `now`.
Decision evaluate(const World& world, const Query& query, Timestamp now);

/// The segments that the device is an active member of.
std::set<std::string> segments_of(const World& world, const Device& device);

}  // namespace cordon::policy
