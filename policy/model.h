#pragma once
// A policy as its authors wrote it, with names resolved and places kept. POLICY.md is the grammar.

#include <array>
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
#include "base/time_zone.h"
#include "policy/diagnostic.h"
#include "policy/facts.h"

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

/// One window of `hours`, as minutes of the day; an end at or before the start is on the next day (P11).
struct HoursWindow {
  std::uint8_t days = 0;  ///< of the start: bit 0 is Monday
  std::uint16_t start = 0, end = 0;
  auto operator<=>(const HoursWindow&) const = default;
};
struct Hours {
  std::vector<HoursWindow> windows;  ///< any will do
  TimeZonePtr zone;                  ///< never null
};

/// Conditions of `when` and `unless`: all that are given must hold. Empty holds always.
struct Conditions {
  std::optional<Assurance> assurance;
  std::optional<Seconds> auth_age_max;
  std::optional<int> trust_min;   ///< percent
  std::optional<int> health_min;  ///< tenths
  std::set<std::string> require;  ///< checks
  std::optional<Attestation> attestation;
  std::optional<Hours> hours;
  std::optional<Timestamp> valid_from;   ///< it is in
  std::optional<Timestamp> valid_until;  ///< it is out
  std::vector<Prefix> source_networks;   ///< any will do
  std::set<std::string> countries;       ///< any will do
  bool empty() const;
};

/// What a device must be; all that are given must hold.
struct DeviceClass {
  std::set<Ownership> ownership;  ///< any of
  std::set<std::string> tags;     ///< any of
  std::optional<int> health_min;  ///< tenths
  std::set<std::string> require;  ///< all of these checks
  std::optional<Attestation> attestation;
  Place place;
};

/// `[trust]`: P4 to P6. The defaults here are the language's.
enum class TrustMethod { rules, score, hybrid };
struct TrustSettings {
  TrustMethod method = TrustMethod::hybrid;
  std::map<std::string, int> health{{"os_updates", 4},
                                    {"antivirus_updates", 3},
                                    {"application_updates", 2},
                                    {"configuration", 1}};  ///< check to tenths; together 10
  struct Weights {
    int identity = 40, device = 40, behaviour = 20;  ///< percent; together 100
  } weights;
  std::array<int, 3> identity{40, 70, 100};  ///< score of aal1, aal2, aal3
  int tpm_points = 0;                        ///< what a TPM's attestation adds to the device score
  int unattested_health_max = 10;            ///< tenths
  int hysteresis_tenths = 0;  ///< delays rises when facts are recorded; no decision looks at it
};

struct SessionSettings {
  Seconds reauthenticate{12 * 3600};
  Seconds idle{3600};
};

struct HealthSettings {
  Seconds report_timeout{10 * 60};  ///< then a device's checks are missing
  std::set<std::string> checks;     ///< the site's own, beside the four
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

enum class Verdict { allow, deny, forbid };
std::string_view to_string(Verdict verdict);

/// A `[[test]]`: facts of its own, one question, the answer expected.
struct PolicyTest {
  std::string name;
  Device device;                   ///< the one that asks
  std::optional<Session> session;  ///< none: the device asks for itself
  std::string user;                ///< of the session
  Device target;                   ///< tags and the rest; it is put into `segment`
  std::string segment;
  std::optional<std::string> service;  ///< all its accesses are asked for; else `accesses`
  std::vector<Access> accesses;
  Timestamp at{};
  Verdict expect = Verdict::allow;
  std::optional<std::string> rule;  ///< that must decide
  Place place;
};

struct Policy {
  std::map<std::string, Group> groups;
  std::map<std::string, DeviceClass> device_classes;
  std::map<std::string, Segment> segments;
  std::vector<Rule> rules;  ///< by name: order of writing never matters (P1)
  TrustSettings trust;
  SessionSettings sessions;
  HealthSettings health;
  std::vector<PolicyTest> tests;  ///< by name
};

using PolicyPtr = std::shared_ptr<const Policy>;

}  // namespace cordon::policy
