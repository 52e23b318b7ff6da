#pragma once
// The world: everything a decision depends on at one revision. Made only by folding the change log
// (controller/world); read by evaluate and compile.

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/files.h"
#include "base/ids.h"
#include "base/shared_map.h"
#include "base/time.h"
#include "policy/address_pool.h"
#include "policy/facts.h"
#include "policy/model.h"
#include "policy/sessions.h"

namespace cordon::policy {

/// A join token (its secret stored as a hash only).
struct JoinToken {
  TokenId id;
  Sha256 secret_hash{};
  std::set<std::string> tags;
  std::optional<Ownership> ownership;
  std::uint32_t uses_left = 1;
  Timestamp expires_at{};
  bool approve = false;          ///< enrol without approval by hand, only with `source`
  std::optional<Prefix> source;  ///< where it may be used from
  bool revoked = false;
};

/// An operator's API token.
struct ApiToken {
  TokenId id;
  Sha256 secret_hash{};
  std::string role;  ///< viewer, engineer, operator, auditor, admin
  std::string owner;
  Timestamp expires_at{};
  bool revoked = false;
};

/// What the first record says; never changes.
struct Installation {
  std::string trust_domain;  ///< "acme.example"
  Prefix overlay_v4;         ///< within 100.64.0.0/10
  Prefix overlay_v6;         ///< a ULA /48 (RFC 4193)
  Seconds node_lease{15 * 60};
};

/// As an operator gave them; never null.
using PolicyFilesPtr = std::shared_ptr<const std::vector<SourceFile>>;

/// A copy costs a pointer for some hundred entries, and shares with the world what neither changes: that is
/// how work beside the strand has a world of its own.
struct World {
  Revision revision;  ///< of the last record folded; 0: none
  Timestamp at{};     ///< its time
  Sha256 head{};      ///< its hash

  Installation installation;
  PolicyPtr policy = std::make_shared<const Policy>();
  PolicyFilesPtr policy_files = std::make_shared<const std::vector<SourceFile>>();  ///< as applied
  Revision policy_revision;  ///< of the record that applied it
  Seconds longest_lease{0};  ///< of its rules; the fold keeps it
  /// A policy is pending until somebody confirms it; past `confirm_by` the confirmed one comes back (I9).
  struct Pending {
    Timestamp confirm_by{};
    PolicyPtr confirmed = std::make_shared<const Policy>();  ///< what comes back, with its files and revision
    PolicyFilesPtr confirmed_files = std::make_shared<const std::vector<SourceFile>>();
    Revision confirmed_revision;
  };
  std::optional<Pending> pending;

  SharedMap<DeviceId, Device> devices;  ///< removed ones stay: their ids and numbers are never used again
  SharedMap<SubjectId, User> users;
  Sessions sessions;  ///< open ones only
  SharedMap<TokenId, JoinToken> join_tokens;
  SharedMap<TokenId, ApiToken> api_tokens;

  // What people and devices are found by; the fold keeps these.
  SharedMap<std::pair<std::string, std::string>, SubjectId> user_ids;  ///< by issuer and name, if it has one
  /// Of devices that were not removed; the key that one will turn to is its own already.
  SharedMap<WireguardKey, DeviceId> wireguard_keys;
  SharedMap<Bytes, DeviceId> device_keys;  ///< by SubjectPublicKeyInfo
  /// What is behind a gateway and not removed: by its prefixes, which never overlap, and by its gateway.
  SharedMap<Prefix, DeviceId> prefixes;
  SharedMap<DeviceId, std::set<DeviceId>> behind;

  SharedMap<std::string, RuleId> rule_ids;  ///< every name ever applied keeps its number
  /// Devices in the same segments are one target. By the segments' names; never used again (target_of).
  SharedMap<std::set<std::string>, std::uint32_t> target_numbers;
  std::uint32_t next_rule = 1;
  std::uint32_t next_target = 2;  ///< even; the odd number after it is the same segments, isolated
  std::uint32_t next_device = 1;
  std::uint64_t next_session_address = 1;  ///< IPv6 session addresses are never used again
  AddressPool v4;                          ///< of installation.overlay_v4
};

/// Where the device is reached: its overlay addresses, or its prefixes behind a gateway.
std::vector<Prefix> prefixes_of(const Device& device);

/// The device behind a gateway that has the address; null: none.
const Device* find_behind(const World& world, const Address& address);
/// A prefix of one that is there already and overlaps this one; null: none.
const std::pair<const Prefix, DeviceId>* find_overlap(const World& world, const Prefix& prefix);

/// Adds a device that is behind its gateway, which is there; it is as active and as isolated as that.
void put_behind(World& world, Device device);
/// It is removed: nothing is reached at its prefixes any more.
void forget_behind(World& world, const Device& device);
/// After a gateway was let in, isolated or released: what is behind it follows.
void follow_gateway(World& world, const DeviceId& gateway);

/// The target that `device` is, by its segments and whether it is cut off; 0: it was never numbered, so
/// nothing can be granted to it.
TargetId target_of(const World& world, const Device& device, const std::set<std::string>& segments);

/// Numbers the sets of segments that active devices are in and that have no number yet: all of them (after a
/// policy was applied), or one device's (after its tags or state changed). The fold calls these.
void number_targets(World& world);
void number_target(World& world, const Device& device);

}  // namespace cordon::policy
