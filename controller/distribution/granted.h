#pragma once
// What one class of principals may do at one target, read from the grants that its node enforces.

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "policy/node_state.h"
#include "policy/port_map.h"

namespace cordon::controller {

class Granted {
 public:
  /// From wide to narrow, as keys are ordered; the value must outlive this.
  void add(const policy::GrantKey& key, const policy::GrantValue& value);

  struct Stretch {
    policy::Access access;
    const policy::GrantValue* grant = nullptr;
  };
  /// The parts of `access` that are allowed, each by one grant. For `any` one part: less what but() tells.
  std::vector<Stretch> allowed(const policy::Access& access) const;
  /// What a grant of any protocol doesn't take in, as narrower entries deny it.
  std::vector<policy::Access> but() const;
  /// Those that grant something.
  const std::set<RuleId>& rules() const { return rules_; }

 private:
  using Ports = policy::PortMap<const policy::GrantValue*>;
  std::set<RuleId> rules_;
  const policy::GrantValue* any_ = nullptr;
  std::map<std::uint8_t, Ports> protocols_;
};

}  // namespace cordon::controller
