#pragma once
// A policy as its authors wrote it, with names resolved and places kept. POLICY.md is the grammar.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/ids.h"
#include "base/time.h"
#include "policy/diagnostic.h"

namespace cordon::policy {

/// IP protocol numbers we name (IANA).
inline constexpr std::uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kIcmpv6 = 58, kSctp = 132;

/// Ports, both ends in. For ICMP and ICMPv6 the numbers are types.
struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 65535;
  bool all() const { return first == 0 && last == 65535; }
  auto operator<=>(const PortRange&) const = default;
};

/// What a service offers: one protocol's ports, or (no protocol) everything. `ping` is two of them.
struct Access {
  std::optional<std::uint8_t> protocol;
  PortRange ports;
  auto operator<=>(const Access&) const = default;
};
std::string to_string(const Access& access);  ///< "tcp/443", "udp/8000-8099", "tcp", "any", "icmp/8"
/// The accesses of one word of the language ("ping" gives two).
Result<std::vector<Access>> parse_access(std::string_view text);

struct Group {
  std::set<std::string> users;   ///< names as in a session's user
  std::set<std::string> claims;  ///< "provider:claim"
  Place place;
};

struct Member {
  enum class Kind { tag, device } kind = Kind::tag;
  std::string name;
  auto operator<=>(const Member&) const = default;
};

enum class Mode { enforce, observe };
enum class Underlay { open, guard, closed };  ///< in order of strictness
enum class Sensitivity { low, medium, high };

struct Segment {
  std::vector<Member> members;
  Mode mode = Mode::enforce;
  Underlay underlay = Underlay::guard;
  std::optional<Sensitivity> sensitivity;
  std::string owner;
  std::string description;
  std::map<std::string, std::vector<Access>> services;
  Place place;
};

/// Who a rule speaks of (P2): people by users and groups, or machines by segments and tags.
struct Subject {
  std::set<std::string> users, groups;   ///< either makes it a rule for sessions
  std::set<std::string> device_classes;  ///< narrows users and groups
  std::set<std::string> segments, tags;  ///< a rule for devices acting for themselves
  bool for_people() const { return !users.empty() || !groups.empty(); }
};

/// One entry of `to` (P8).
struct Destination {
  std::string segment;
  std::string service;           ///< a service's name; empty: all services, or `accesses`
  std::vector<Access> accesses;  ///< ad-hoc ("segment tcp/22"); empty: by service
  std::string text;              ///< as written
};

/// Conditions of `when` and `unless`. Empty holds always. The policy engine's issue widens it.
struct Conditions {
  bool empty() const { return true; }
};

enum class Effect { allow, forbid };

struct Rule {
  Effect effect = Effect::allow;
  std::string name;  ///< unique among allows and forbids
  std::string description;
  Subject from;
  std::vector<Destination> to;
  Conditions when;
  std::optional<Conditions> unless;  ///< forbids only
  Seconds lease{15 * 60};            ///< allows only
  bool responders = false;           ///< P10
  Place place;
};

struct Policy {
  std::map<std::string, Group> groups;
  std::map<std::string, Segment> segments;
  std::vector<Rule> rules;  ///< by name: order of writing never matters (P1)
};

using PolicyPtr = std::shared_ptr<const Policy>;

}  // namespace cordon::policy
