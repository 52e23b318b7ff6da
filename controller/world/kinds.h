#pragma once
// Every kind of change there is, as a struct; its payload's grammar stands above its encoder in kinds.cpp.
// A kind's meaning never changes: a new meaning is a new version.

#include <string>
#include <variant>
#include <vector>

#include "base/files.h"
#include "controller/log/record.h"
#include "policy/world.h"

namespace cordon::controller::kinds {

/// The first record of every log.
struct InstallationCreated {
  policy::Installation installation;
};
struct PolicyApplied {
  std::vector<SourceFile> files;
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
struct DeviceIsolated {
  DeviceId device;
  std::string reason;
};
struct DeviceReleased {
  DeviceId device;
};
struct WireguardKeyChanged {
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

using Kind =
    std::variant<InstallationCreated, PolicyApplied, JoinTokenCreated, JoinTokenRevoked, DeviceEnrolled,
                 DeviceApproved, DeviceRemoved, DeviceTagged, DeviceIsolated, DeviceReleased,
                 WireguardKeyChanged, CertificateIssued, UserAdded, UserDisabled, SessionOpened,
                 SessionClosed, ApiTokenCreated, ApiTokenRevoked, TimeAdvanced, LoginSlowed>;

/// "session opened" and canonical JSON.
Proposal encode(std::string actor, const Kind& kind);
/// Strict: unknown kinds, versions and keys, missing keys and values out of range are errors that name them.
Result<Kind> decode(std::string_view kind, std::uint32_t version, std::string_view payload);

/// What a kind touches ("device/ledger", "*" for everything): two proposals that share one never share a
/// batch.
std::vector<std::string> touches(const Kind& kind);

}  // namespace cordon::controller::kinds
