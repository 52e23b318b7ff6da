#pragma once
// What a policy would change before it is applied: who gains and who loses what, which flows are cut, and
// what its author should know. Pure; works through groups of principals and targets that are alike.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "policy/evaluate.h"
#include "policy/world.h"

namespace cordon::policy {

/// A flow that nodes say is open now.
struct LiveFlow {
  PrincipalRef principal;
  DeviceId target;
  std::uint8_t protocol = kTcp;
  std::uint16_t port = 0;
};

/// Flows alike that a target in observe mode let through although no rule allowed them.
struct ObservedFlow {
  SubjectId person;  ///< of the source's session; "": the machine itself
  DeviceId source;
  DeviceId target;
  std::uint8_t protocol = kTcp;
  std::uint16_t port = 0;
  std::uint64_t count = 1;
  Timestamp first{}, last{};
  bool operator==(const ObservedFlow&) const = default;
};

struct PlanQuestion {
  std::vector<LiveFlow> live;
  std::vector<ObservedFlow> observed;
  std::string author;        ///< who is about to apply it: a person's id or name; else nobody is looked for
  DeviceId controller_host;  ///< the device that the controller runs on; "": not one of ours
  std::size_t most_listed = 10'000;  ///< principals, targets and flows that are told by name
};

/// A person on a device, or (without person) the machine itself.
struct PlanPrincipal {
  std::string person;
  DeviceId device;
  SessionId session;
  auto operator<=>(const PlanPrincipal&) const = default;
};

/// Access to one service (or ad-hoc ports) of a segment that comes or goes.
struct AccessChange {
  bool gained = false;
  std::string segment;
  std::string service;            ///< "" for an ad-hoc access
  std::vector<Access> accesses;   ///< in order; without protocol: every protocol that isn't named otherwise
  std::vector<DeviceId> targets;  ///< the first of them
  std::size_t target_count = 0;
  bool whole_segment = false;  ///< the targets are all that the segment has
  std::string rule;            ///< the allow that grants it (gained) or granted it
  std::string forbid;          ///< what forbids it from now on; "": nothing allows it any more
  std::map<std::size_t, std::size_t> cut_flows;  ///< live flows by position in PlanEntry::principals
};

/// Principals to whom the same happens.
struct PlanEntry {
  std::vector<PlanPrincipal> principals;  ///< the first of them
  std::size_t principal_count = 0;
  std::vector<AccessChange> changes;  ///< losses first
};

struct PlanWarning {
  enum class Kind {
    locks_out_author,
    opens_to_everyone,
    opens_every_port,
    nobody_reaches,
    no_rules,
    starts_enforcing,
    starts_observing,
    opens_underlay,
    ends_earlier,
    not_signed_in,
    flows_not_seen,        ///< of whoever looked the flows up
    drops_while_turning,   ///< of whoever knows nodes' maps
    not_forwarded,         ///< of whoever knows the nodes: by a gateway, to what is behind it
    too_old_for_gateways,  ///< the same: nodes that can't reach what is behind one
  } kind = Kind::no_rules;
  std::string text;                ///< one sentence
  std::vector<std::string> lines;  ///< what it is about, the first of them
};
std::string_view to_string(PlanWarning::Kind kind);  ///< "locks-out-author"

struct Plan {
  std::vector<PlanEntry> entries;  ///< those that lose first
  std::vector<PlanWarning> warnings;
  struct Totals {
    std::size_t people_losing = 0, people_gaining = 0;      ///< each person once
    std::size_t machines_losing = 0, machines_gaining = 0;  ///< acting for themselves
    std::size_t losses = 0, gains = 0;                      ///< principal by service
    std::size_t flows_cut = 0;
    std::size_t devices_observing = 0, underlays_opened = 0;  ///< plan_loosens.h
    std::size_t entries_left_out = 0;
  } totals;
  bool changes_nothing() const {
    return totals.losses == 0 && totals.gains == 0 && totals.flows_cut == 0 &&
           totals.devices_observing == 0 && totals.underlays_opened == 0;
  }
};

/// The difference that `next` would make to the world's policy, as of `now`. A principal loses a port of a
/// target exactly when evaluate() allows it before and doesn't after, and gains it when it is the other way.
Plan plan(const World& world, const Policy& next, const PlanQuestion& question, Timestamp now);

}  // namespace cordon::policy
