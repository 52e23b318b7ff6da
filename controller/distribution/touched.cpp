#include "controller/distribution/touched.h"

#include <variant>

#include "controller/world/kinds.h"

namespace cordon::controller {
namespace {

using policy::Touched;

Touched device(const DeviceId& id) {
  return {.devices = {id}};
}
Touched session(const SessionId& id) {
  return {.sessions = {id}};
}
Touched user(const SubjectId& id) {
  return {.users = {id}};
}

/// Kinds without a line of their own.
template <class Kind>
Touched of(const Kind&) {
  return {.everything = true};
}

Touched of(const kinds::PolicyApplied&) {
  return {.policy = true};
}
Touched of(const kinds::PolicyRolledBack&) {
  return {.policy = true};
}
Touched of(const kinds::DeviceEnrolled& k) {
  return device(k.device);
}
Touched of(const kinds::DeviceAdded& k) {
  return device(k.device);
}
Touched of(const kinds::DeviceApproved& k) {
  return device(k.device);
}
Touched of(const kinds::DeviceRemoved& k) {
  return device(k.device);
}
Touched of(const kinds::DeviceTagged& k) {
  return device(k.device);
}
Touched of(const kinds::DeviceClassified& k) {
  return device(k.device);
}
Touched of(const kinds::DeviceFacts& k) {
  return device(k.device);
}
Touched of(const kinds::DeviceIsolated& k) {
  return device(k.device);
}
Touched of(const kinds::DeviceReleased& k) {
  return device(k.device);
}
Touched of(const kinds::WireguardKeyChanged& k) {
  return device(k.device);
}
Touched of(const kinds::WireguardKeyOffered& k) {
  return device(k.device);
}
Touched of(const kinds::UserAdded& k) {
  return user(k.user);
}
Touched of(const kinds::UserDisabled& k) {
  return user(k.user);
}
/// It takes the place of another on the same device.
Touched of(const kinds::SessionOpened& k) {
  return {.devices = {k.session.device}, .sessions = {k.session.id}};
}
Touched of(const kinds::SessionClosed& k) {
  return session(k.session);
}
Touched of(const kinds::SessionSignals& k) {
  return session(k.session);
}

// What no decision depends on. What time ends is found by the engine.
Touched of(const kinds::TimeAdvanced&) {
  return {};
}
Touched of(const kinds::PolicyConfirmed&) {
  return {};
}
Touched of(const kinds::JoinTokenCreated&) {
  return {};
}
Touched of(const kinds::JoinTokenRevoked&) {
  return {};
}
Touched of(const kinds::CertificateIssued&) {
  return {};
}
Touched of(const kinds::KeyRotationAsked&) {
  return {};
}
Touched of(const kinds::ApiTokenCreated&) {
  return {};
}
Touched of(const kinds::ApiTokenRevoked&) {
  return {};
}
Touched of(const kinds::LoginSlowed&) {
  return {};
}
Touched of(const kinds::FormatRaised&) {
  return {};
}

}  // namespace

Touched touched_by(const Record& record) {
  const auto kind = kinds::decode(record.kind, record.version, record.payload);
  if (!kind) return {.everything = true};
  return std::visit([](const auto& k) { return of(k); }, *kind);
}

}  // namespace cordon::controller
