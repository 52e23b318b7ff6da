#pragma once
// Each kind's payload: its grammar, its encoder and its decoder, side by side in payloads_*.cpp. A payload is
// canonical JSON; decoding ends by encoding again, so no two payloads mean the same.
//
// Times are UTC microseconds (9223372036854775807: never), lifetimes are seconds, hashes and set members are
// hex and sorted, other bytes are base64 with padding.

#include <boost/json/object.hpp>

#include "controller/world/kinds.h"
#include "proto/canonical_json.h"

namespace cordon::controller::kinds {

boost::json::object write(const InstallationCreated& k);
void read(wire::Fields& f, InstallationCreated& k);
boost::json::object write(const PolicyApplied& k);
void read(wire::Fields& f, PolicyApplied& k, std::uint32_t version);
boost::json::object write(const PolicyConfirmed& k);
void read(wire::Fields& f, PolicyConfirmed& k);
boost::json::object write(const PolicyRolledBack& k);
void read(wire::Fields& f, PolicyRolledBack& k);
boost::json::object write(const JoinTokenCreated& k);
void read(wire::Fields& f, JoinTokenCreated& k);
boost::json::object write(const JoinTokenRevoked& k);
void read(wire::Fields& f, JoinTokenRevoked& k);
boost::json::object write(const DeviceEnrolled& k);
void read(wire::Fields& f, DeviceEnrolled& k, std::uint32_t version);
boost::json::object write(const DeviceAdded& k);
void read(wire::Fields& f, DeviceAdded& k);
boost::json::object write(const DeviceApproved& k);
void read(wire::Fields& f, DeviceApproved& k);
boost::json::object write(const DeviceRemoved& k);
void read(wire::Fields& f, DeviceRemoved& k);
boost::json::object write(const DeviceTagged& k);
void read(wire::Fields& f, DeviceTagged& k);
boost::json::object write(const DeviceClassified& k);
void read(wire::Fields& f, DeviceClassified& k);
boost::json::object write(const DeviceFacts& k);
void read(wire::Fields& f, DeviceFacts& k);
boost::json::object write(const DeviceIsolated& k);
void read(wire::Fields& f, DeviceIsolated& k);
boost::json::object write(const DeviceReleased& k);
void read(wire::Fields& f, DeviceReleased& k);
boost::json::object write(const WireguardKeyChanged& k);
void read(wire::Fields& f, WireguardKeyChanged& k);
boost::json::object write(const KeyRotationAsked& k);
void read(wire::Fields& f, KeyRotationAsked& k);
boost::json::object write(const WireguardKeyOffered& k);
void read(wire::Fields& f, WireguardKeyOffered& k);
boost::json::object write(const CertificateIssued& k);
void read(wire::Fields& f, CertificateIssued& k);
boost::json::object write(const UserAdded& k);
void read(wire::Fields& f, UserAdded& k);
boost::json::object write(const UserDisabled& k);
void read(wire::Fields& f, UserDisabled& k);
boost::json::object write(const SessionOpened& k);
void read(wire::Fields& f, SessionOpened& k);
boost::json::object write(const SessionClosed& k);
void read(wire::Fields& f, SessionClosed& k);
boost::json::object write(const SessionSignals& k);
void read(wire::Fields& f, SessionSignals& k);
boost::json::object write(const ApiTokenCreated& k);
void read(wire::Fields& f, ApiTokenCreated& k);
boost::json::object write(const ApiTokenRevoked& k);
void read(wire::Fields& f, ApiTokenRevoked& k);
boost::json::object write(const TimeAdvanced& k);
void read(wire::Fields& f, TimeAdvanced& k);
boost::json::object write(const LoginSlowed& k);
void read(wire::Fields& f, LoginSlowed& k);
boost::json::object write(const FormatRaised& k);
void read(wire::Fields& f, FormatRaised& k);

// Parts of payloads.
boost::json::array list(const std::set<std::string>& texts);
boost::json::value ownership(const std::optional<policy::Ownership>& ownership);
std::optional<policy::Ownership> ownership(wire::Fields& f);
Timestamp time(wire::Fields& f, std::string_view key);
Prefix prefix(wire::Fields& f, std::string_view key);

}  // namespace cordon::controller::kinds
