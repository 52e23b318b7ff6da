#pragma once
// The world: everything a decision depends on at one revision. Made only by folding the change log
// (controller/world); read by evaluate and compile.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/files.h"
#include "base/ids.h"
#include "base/time.h"
#include "policy/model.h"

namespace cordon::policy {

enum class Assurance { aal1 = 1, aal2 = 2, aal3 = 3 };
enum class Ownership { company, personal, vendor, partner };
enum class DeviceState { pending, active, removed };

/// One IPv4 and one IPv6 overlay address; what makes a principal known by its packets.
struct OverlayAddresses {
  Address v4, v6;
  auto operator<=>(const OverlayAddresses&) const = default;
};

struct Device {
  DeviceId id;
  std::uint32_t number = 0;  ///< its target id; from 1, never used again
  DeviceState state = DeviceState::pending;
  std::set<std::string> tags;
  std::optional<Ownership> ownership;
  Bytes public_key_der;  ///< the device key (SubjectPublicKeyInfo)
  WireguardKey wireguard_key{};
  OverlayAddresses addresses;  ///< set once active
  bool isolated = false;
  std::string platform;  ///< what it says of itself, shown to operators, decides nothing
  TokenId token;         ///< it came with
  Timestamp enrolled_at{};
};

struct User {
  SubjectId id;
  std::string issuer;  ///< "local" or an identity provider
  std::string name;    ///< "trader@acme.example"; "" once erased
  bool disabled = false;
};

struct Session {
  SessionId id;
  SubjectId user;
  DeviceId device;
  Assurance assurance = Assurance::aal1;
  std::set<std::string> claims;
  Timestamp authenticated_at{};
  Timestamp ends_at = kNever;  ///< it is out: at this moment the session has ended
  std::uint32_t uid = 0;       ///< of the person on that device
  OverlayAddresses addresses;
};

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

struct World {
  Revision revision;  ///< of the last record folded; 0: none
  Timestamp at{};     ///< its time
  Sha256 head{};      ///< its hash

  Installation installation;
  PolicyPtr policy = std::make_shared<const Policy>();
  std::vector<SourceFile> policy_files;  ///< as applied
  Revision policy_revision;              ///< of the record that applied it

  std::map<DeviceId, Device> devices;  ///< removed ones stay: their ids and numbers are never used again
  std::map<SubjectId, User> users;
  std::map<SessionId, Session> sessions;  ///< open ones only
  std::map<TokenId, JoinToken> join_tokens;
  std::map<TokenId, ApiToken> api_tokens;

  std::map<std::string, RuleId> rule_ids;  ///< every name ever applied keeps its number
  std::uint32_t next_rule = 1;
  std::uint32_t next_device = 1;
  std::uint64_t next_session_address = 1;  ///< IPv6 session addresses are never used again
  std::uint32_t next_v4 = 1;               ///< offset in overlay_v4; wraps, skips what is used or quarantined
  std::map<Address, std::string> v4_in_use;    ///< to a device or session id
  std::map<Address, Timestamp> v4_quarantine;  ///< address to the moment it is free again
};

}  // namespace cordon::policy
