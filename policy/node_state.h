#pragma once
// What one node is to hold: typed keys to values. It is what compile makes, what travels, what a node
// plans from, and what receipts sign the digest of.

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"
#include "policy/model.h"

namespace cordon::policy {

/// A WireGuard peer, keyed by the device. Where it is reached is a hint outside the state (endpoints move).
struct PeerKey {
  DeviceId device;
  auto operator<=>(const PeerKey&) const = default;
};
struct PeerValue {
  WireguardKey public_key{};
  std::vector<Prefix> allowed_ips;  ///< sorted: its device and session addresses that this node needs
  std::optional<WireguardKey>
      next_key{};  ///< it will turn to this one: a second peer, without allowed-IPs yet
  bool operator==(const PeerValue&) const = default;
};

inline constexpr std::size_t kDeadlineSlots = 8;

/// A source address that this node knows.
struct PrincipalKey {
  Address address;
  auto operator<=>(const PrincipalKey&) const = default;
};
struct PrincipalValue {
  ClassId class_id;
  bool isolated = false;
  std::uint32_t uid = 0;     ///< of a local session's person
  bool check_owner = false;  ///< of a local session: who begins a flow must be `uid`
  std::array<Timestamp, kDeadlineSlots> deadlines = no_deadlines();  ///< UTC; slots that grants name
  static constexpr std::array<Timestamp, kDeadlineSlots> no_deadlines() {
    std::array<Timestamp, kDeadlineSlots> all{};
    all.fill(kNever);
    return all;
  }
  bool operator==(const PrincipalValue&) const = default;
};

/// A destination that this node knows: its own addresses (ingress) and those its principals may reach
/// (egress).
struct TargetKey {
  Prefix prefix;
  auto operator<=>(const TargetKey&) const = default;
};
struct TargetValue {
  TargetId id;
  bool observe = false;
  bool operator==(const TargetValue&) const = default;
};

enum class Direction : std::uint8_t { ingress = 0, egress = 1 };

/// Protocol and port pattern of a grant, most specific first: exact port, port prefix (port_bits 1..15), any
/// port (port_bits 0), any protocol (protocol 0, port_bits 0). The first that is found decides, a `deny`
/// included.
struct GrantKey {
  Direction direction = Direction::ingress;
  ClassId class_id;
  TargetId target;
  std::uint8_t protocol = 0;    ///< 0: any protocol
  std::uint8_t port_bits = 16;  ///< leading bits of `port` that count
  std::uint16_t port = 0;       ///< bits past port_bits are 0
  auto operator<=>(const GrantKey&) const = default;
};
struct GrantValue {
  RuleId rule;
  bool deny = false;          ///< stops the search: a forbid cut out of a wider allow
  bool responder = false;     ///< holds in isolation too (P10)
  std::uint8_t slot = 0;      ///< of the principal's deadlines
  std::uint32_t lease_s = 0;  ///< from the node's last confirmation; 0 only on a deny
  bool operator==(const GrantValue&) const = default;
};

/// Names for rule ids that this node enforces, for people.
struct RuleKey {
  RuleId rule;
  auto operator<=>(const RuleKey&) const = default;
};
struct RuleValue {
  std::string name;
  bool operator==(const RuleValue&) const = default;
};

/// Ports that the underlay guard of this node closes to the outside (DATAPATH.md, "The underlay").
struct GuardKey {
  std::uint8_t protocol = 0;  ///< 0: any
  PortRange ports;
  auto operator<=>(const GuardKey&) const = default;
};
struct GuardValue {
  bool count_only = false;  ///< the segment observes or its underlay is open: nothing is dropped
  bool operator==(const GuardValue&) const = default;
};

/// A session on this very device.
struct LocalSessionKey {
  SessionId session;
  auto operator<=>(const LocalSessionKey&) const = default;
};
struct LocalSessionValue {
  std::string user;
  std::uint32_t uid = 0;
  Address v4, v6;
  Timestamp ends_at = kNever;
  bool operator==(const LocalSessionValue&) const = default;
};

/// What is there once a node.
struct SettingsKey {
  auto operator<=>(const SettingsKey&) const = default;
};
struct SettingsValue {
  DeviceId device;
  bool isolated = false;
  Seconds node_lease{15 * 60};
  Address v4, v6;                      ///< the device's own overlay addresses
  Prefix overlay_v4, overlay_v6;       ///< what is routed into the tunnel
  Underlay underlay = Underlay::open;  ///< strictest of the device's segments; open when in none
  bool operator==(const SettingsValue&) const = default;
};

using Key =
    std::variant<SettingsKey, PeerKey, PrincipalKey, TargetKey, GrantKey, RuleKey, GuardKey, LocalSessionKey>;
using Value =
    std::variant<SettingsValue, PeerValue, PrincipalValue, TargetValue, GrantValue, RuleValue, GuardValue,
                 LocalSessionValue>;  // the same order: an entry's two indices are equal

struct NodeState {
  std::map<Key, Value> entries;
  bool operator==(const NodeState&) const = default;

  const SettingsValue* settings() const;  ///< null before the first state
};

/// A key that changed: its new value, or none when it goes.
struct Change {
  Key key;
  std::optional<Value> value;
  bool operator==(const Change&) const = default;
};

/// What turns `from` into `to`: removals first, then upserts, each by key.
std::vector<Change> difference(const NodeState& from, const NodeState& to);
void apply(NodeState& state, const std::vector<Change>& changes);

/// True when applying `change` on a state that holds `old` (null: nothing) can take access away: such a
/// change is urgent and raises the epoch.
bool takes_away(const Value* old, const Change& change);

/// True when `change` adds a target inside a wider one of `before`, on which flows may stand that the
/// narrower one's grants don't allow: it raises the epoch too, though it takes nothing from the wider one.
bool narrows(const NodeState& before, const Change& change);

/// The canonical bytes of an entry (grammar in node_state.cpp), and the digest of a state: the sum modulo
/// 2^256 of SHA-256 over each entry's bytes.
Bytes encode(const Key& key, const Value& value);
SetDigest digest(const NodeState& state);

}  // namespace cordon::policy
