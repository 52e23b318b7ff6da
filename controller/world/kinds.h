#pragma once
// Every kind of change there is, as a struct; its payload's grammar stands above its encoder in
// payloads_*.cpp.
// A kind's meaning never changes: a new meaning is a new version.
//
// A log has a format, the number of the newest set of kinds and versions that may stand in it:
//
//   1  the kinds of release 0.1, in version 1
//   2  "policy applied" and "device enrolled" in version 2; "policy confirmed", "policy rolled back", "device
//      facts", "session signals", "device classified", "key rotation asked", "wireguard key offered"
//   3  "device added"
//
// It begins at 1 and is raised by a record ("format raised"); only then is anything written that needs it,
// and a release that knows less stops at that record instead of somewhere behind it.

#include <string>
#include <variant>
#include <vector>

#include "base/files.h"
#include "controller/log/record.h"
#include "policy/world.h"

namespace cordon::controller::kinds {

/// The newest that this release knows, and writes.
inline constexpr std::uint32_t kNewestFormat = 3;

/// The first record of every log.
struct InstallationCreated {
  policy::Installation installation;
};
/// In force from now on. Version 1 was confirmed at once; version 2 waits for confirmation (I9).
struct PolicyApplied {
  std::vector<SourceFile> files;
  Timestamp confirm_by{};  ///< 0: confirmed at once
  std::string tzdata{};  ///< version of the tz database that its time zones were read from; empty: version 1
};
struct PolicyConfirmed {
  Revision revision;  ///< of the policy that waited
};
/// The policy that was confirmed last comes back; sessions and isolations stay as they are.
struct PolicyRolledBack {
  Revision revision;  ///< of the policy that is undone
  std::string reason;
};
struct JoinTokenCreated {
  policy::JoinToken token;
};
struct JoinTokenRevoked {
  TokenId token;
};
/// Tags, ownership and whether approval is waived come from the token, never from the device.
struct DeviceEnrolled {
  DeviceId device;
  TokenId token;
  Bytes public_key_der;
  WireguardKey wireguard_key{};
  std::string platform;
  bool presharing = false;  ///< it understands preshared keys; version 2 says so, version 1 that it doesn't
};
/// What can't run a daemon, behind an enrolled device: it is as active as its gateway, from now on.
struct DeviceAdded {
  DeviceId device;
  DeviceId gateway;
  std::vector<Prefix> prefixes;  ///< sorted, each once
  std::set<std::string> tags;
  std::optional<policy::Ownership> ownership;
};
struct DeviceApproved {
  DeviceId device;
};
struct DeviceRemoved {
  DeviceId device;
  std::string reason;
};
struct DeviceTagged {
  DeviceId device;
  std::set<std::string> tags;  ///< all it has from now on
};
/// Ownership came with the join token; an operator may set it right.
struct DeviceClassified {
  DeviceId device;
  std::optional<policy::Ownership> ownership;
};
/// All that is known of a device now, by its node and by its connection; what is absent isn't known.
struct DeviceFacts {
  DeviceId device;
  std::optional<std::set<std::string>> checks;
  std::optional<policy::Attestation> attestation;
  std::optional<Address> source;
  std::optional<std::string> country;
  /// Version of the database that `country` was asked of; empty: none was, it is as an earlier record says.
  std::string country_database{};
};
struct DeviceIsolated {
  DeviceId device;
  std::string reason;
};
struct DeviceReleased {
  DeviceId device;
};
/// The key that the device uses from now on.
struct WireguardKeyChanged {
  DeviceId device;
  WireguardKey wireguard_key{};
};
/// An operator wants the device to make a new WireGuard key.
struct KeyRotationAsked {
  DeviceId device;
};
/// A key that the device made, uses preshared keys with, and will turn to once its peers know it.
struct WireguardKeyOffered {
  DeviceId device;
  WireguardKey wireguard_key{};
};
struct CertificateIssued {
  DeviceId device;
  std::string serial_hex;
  Timestamp not_after{};
};
struct UserAdded {
  SubjectId user;
  std::string issuer;
  std::string sealed_name;  ///< base64 of seal_personal
};
struct UserDisabled {
  SubjectId user;
  bool disabled = true;
};
struct SessionOpened {
  policy::Session session;  ///< addresses are given by the fold
};
struct SessionClosed {
  SessionId session;
  std::string reason;
};
struct SessionSignals {
  SessionId session;
  std::vector<policy::Signal> signals;  ///< all there are from now on
};
struct ApiTokenCreated {
  policy::ApiToken token;
};
struct ApiTokenRevoked {
  TokenId token;
};
/// An edge passed: sessions that ended are dropped.
struct TimeAdvanced {};
/// For the audit trail; changes nothing.
struct LoginSlowed {
  std::string account;  ///< subject id, or "unknown"
  DeviceId device;
  unsigned failures = 0;
};

/// The log's format from now on.
struct FormatRaised {
  std::uint32_t format = kNewestFormat;
};

using Kind =
    std::variant<InstallationCreated, PolicyApplied, JoinTokenCreated, JoinTokenRevoked, DeviceEnrolled,
                 DeviceApproved, DeviceRemoved, DeviceTagged, DeviceIsolated, DeviceReleased,
                 WireguardKeyChanged, CertificateIssued, UserAdded, UserDisabled, SessionOpened,
                 SessionClosed, ApiTokenCreated, ApiTokenRevoked, TimeAdvanced, LoginSlowed,  // release 0.1
                 PolicyConfirmed, PolicyRolledBack, DeviceFacts, SessionSignals, DeviceClassified,
                 KeyRotationAsked, WireguardKeyOffered, FormatRaised, DeviceAdded>;
/// The first so many are those of release 0.1.
inline constexpr std::size_t kKindsOfRelease01 = 20;

/// "session opened" and canonical JSON.
Proposal encode(std::string actor, const Kind& kind);
/// The version that `kind` is written as.
std::uint32_t version_of(const Kind& kind);
/// The format that a log must have before `kind` is written as version_of() says. Reading doesn't ask: logs
/// of before there was a record for it hold what needs format 2.
std::uint32_t format_of(const Kind& kind);
/// Strict: unknown kinds, versions, formats and keys, missing keys and values out of range are errors that
/// name them.
Result<Kind> decode(std::string_view kind, std::uint32_t version, std::string_view payload);

/// What a kind touches ("device/ledger", "*" for everything): two proposals that share one never share a
/// batch.
std::vector<std::string> touches(const Kind& kind);

}  // namespace cordon::controller::kinds
