// What each kind touches. Whatever two changes could disagree about, in either order, has to be named by
// both.
#include "controller/world/kinds.h"

namespace cordon::controller::kinds {

namespace {

using Touched = std::vector<std::string>;

std::string device(const DeviceId& id) {
  return "device/" + id.value;
}
std::string token(const TokenId& id) {
  return "token/" + id.value;
}
std::string user(const SubjectId& id) {
  return "user/" + id.value;
}
std::string session(const SessionId& id) {
  return "session/" + id.value;
}
std::string wireguard(const WireguardKey& key) {
  return "wireguard/" + to_hex(key);
}

const Touched kEverything{"*"};

Touched of(const InstallationCreated&) {
  return kEverything;
}
Touched of(const PolicyApplied&) {
  return kEverything;
}
Touched of(const PolicyConfirmed&) {
  return kEverything;
}
Touched of(const PolicyRolledBack&) {
  return kEverything;
}
Touched of(const JoinTokenCreated& k) {
  return {token(k.token.id)};
}
Touched of(const JoinTokenRevoked& k) {
  return {token(k.token)};
}
Touched of(const DeviceEnrolled& k) {
  return {device(k.device), token(k.token), wireguard(k.wireguard_key),
          "key/" + to_hex(sha256(k.public_key_der))};
}
// Its prefixes are nobody else's.
Touched of(const DeviceAdded& k) {
  return {"prefixes", device(k.device), device(k.gateway)};
}
Touched of(const DeviceApproved& k) {
  return {device(k.device)};
}
Touched of(const DeviceRemoved& k) {
  return {device(k.device)};
}
Touched of(const DeviceTagged& k) {
  return {device(k.device)};
}
Touched of(const DeviceClassified& k) {
  return {device(k.device)};
}
Touched of(const DeviceFacts& k) {
  return {device(k.device)};
}
Touched of(const DeviceIsolated& k) {
  return {device(k.device)};
}
Touched of(const DeviceReleased& k) {
  return {device(k.device)};
}
Touched of(const WireguardKeyChanged& k) {
  return {device(k.device), wireguard(k.wireguard_key)};
}
Touched of(const KeyRotationAsked& k) {
  return {device(k.device)};
}
Touched of(const WireguardKeyOffered& k) {
  return {device(k.device), wireguard(k.wireguard_key)};
}
Touched of(const CertificateIssued& k) {
  return {device(k.device)};
}
// Names are unique among all users.
Touched of(const UserAdded& k) {
  return {"users", user(k.user)};
}
Touched of(const UserDisabled& k) {
  return {user(k.user)};
}
Touched of(const SessionOpened& k) {
  return {session(k.session.id), device(k.session.device), user(k.session.user)};
}
Touched of(const SessionClosed& k) {
  return {session(k.session)};
}
Touched of(const SessionSignals& k) {
  return {session(k.session)};
}
Touched of(const ApiTokenCreated& k) {
  return {token(k.token.id)};
}
Touched of(const ApiTokenRevoked& k) {
  return {token(k.token)};
}
Touched of(const TimeAdvanced&) {
  return kEverything;
}
Touched of(const LoginSlowed&) {
  return {};
}
// What needs the format waits for it.
Touched of(const FormatRaised&) {
  return kEverything;
}

}  // namespace

std::vector<std::string> touches(const Kind& kind) {
  return std::visit([](const auto& k) { return of(k); }, kind);
}

}  // namespace cordon::controller::kinds
