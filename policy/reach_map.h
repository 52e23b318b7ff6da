#pragma once
// What every port of every protocol is granted by, between one principal and one target: for telling how two
// policies differ.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "policy/model.h"
#include "policy/port_map.h"

namespace cordon::policy {

/// One access that a rule speaks of, by the words its author used.
struct Offering {
  const Rule* rule = nullptr;
  std::string segment;
  std::string service;  ///< "" for an ad-hoc access
  Access access;
};

/// All that a rule speaks of; services are looked up in `policy`.
std::vector<Offering> offerings_of(const Policy& policy, const Rule& rule);

class ReachMap {
 public:
  /// What is painted later covers what was before: allows first, then forbids. The offering must outlive
  /// this.
  void paint(const Offering& offering);

  /// What decides this port (for ICMP the type); null: no rule does.
  const Offering* at(std::uint8_t protocol, std::uint16_t port) const;
  bool allows(std::uint8_t protocol, std::uint16_t port) const;
  bool allows_nothing() const;
  /// Is some port of `access` allowed?
  bool allows_some(const Access& access) const;

  /// A stretch of ports that two maps decide differently. Without protocol: all that neither map names.
  struct Difference {
    Access access;
    const Offering* before = nullptr;
    const Offering* after = nullptr;
  };
  /// Where one allows and the other doesn't, by protocol and port.
  static std::vector<Difference> compare(const ReachMap& before, const ReachMap& after);

 private:
  using Ports = PortMap<const Offering*>;
  using Runs = std::vector<std::pair<PortRange, const Offering*>>;
  Runs runs_of(std::uint8_t protocol) const;

  const Offering* any_ = nullptr;  ///< of protocols that aren't in `protocols_`
  std::map<std::uint8_t, Ports> protocols_;
};

/// Null is no.
inline bool is_allow(const Offering* offering) {
  return offering != nullptr && offering->rule->effect == Effect::allow;
}

}  // namespace cordon::policy
