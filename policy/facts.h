#pragma once
// Facts: what is known of devices, people and sessions. A fact that is not known is absent, and an absent
// fact never helps access (P3).

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"

namespace cordon::policy {

enum class Assurance { aal1 = 1, aal2 = 2, aal3 = 3 };
enum class Ownership { company, personal, vendor, partner };
enum class Attestation { software, tpm };  ///< in order: tpm satisfies both
enum class DeviceState { pending, active, removed };

std::string_view to_string(Assurance assurance);      ///< "aal2"
std::string_view to_string(Ownership ownership);      ///< "company"
std::string_view to_string(Attestation attestation);  ///< "tpm"

/// Something odd that was seen of a session; takes `cost` points of behaviour until `until`, then nothing
/// (P6).
struct Signal {
  std::string name;
  int cost = 0;  ///< 0..100
  Timestamp until = kNever;
  auto operator<=>(const Signal&) const = default;
};

/// One IPv4 and one IPv6 overlay address; what makes a principal known by its packets.
struct OverlayAddresses {
  Address v4, v6;
  auto operator<=>(const OverlayAddresses&) const = default;
};

struct Device {
  DeviceId id;
  std::uint32_t number = 0;  ///< from 1, never used again
  DeviceState state = DeviceState::pending;
  std::set<std::string> tags;
  std::optional<Ownership> ownership;
  std::optional<std::set<std::string>> checks;  ///< what passes now; absent: it has not reported
  std::optional<Attestation> attestation;
  std::optional<Address> source;       ///< the underlay address it is seen from (P12)
  std::optional<std::string> country;  ///< ISO 3166 code of `source`
  Bytes public_key_der;                ///< the device key (SubjectPublicKeyInfo)
  WireguardKey wireguard_key{};
  std::optional<WireguardKey> next_wireguard_key;  ///< it will turn to this one once its peers know it
  bool presharing = false;                         ///< its keys came with word that it uses preshared keys
  bool rotation_asked = false;                     ///< an operator wants it to make a new WireGuard key
  OverlayAddresses addresses;                      ///< set once active
  bool isolated = false;
  /// What can't run a daemon stands behind a device that does, its gateway: it has no key and no overlay
  /// addresses, is reached at its own prefixes, and begins nothing. Empty: it is a node itself.
  DeviceId gateway;
  std::vector<Prefix> prefixes;   ///< sorted; empty but behind a gateway
  bool gateway_isolated = false;  ///< the fold keeps it as the gateway's own; so it does `state`
  std::string platform;           ///< what it says of itself, shown to operators, decides nothing
  TokenId token;                  ///< it came with
  Timestamp enrolled_at{};

  bool is_behind() const { return !gateway.value.empty(); }
  /// Active with a daemon that holds a state; else nobody is to be waited for.
  bool is_node() const { return state == DeviceState::active && !is_behind(); }
  /// Active, and not behind an isolated gateway: that one forwards nothing, for responders neither.
  bool is_target() const { return state == DeviceState::active && !gateway_isolated; }
  /// Isolated itself, or because its gateway is.
  bool cut_off() const { return isolated || gateway_isolated; }
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
  std::optional<Assurance> assurance;
  std::set<std::string> claims;
  std::optional<Timestamp> authenticated_at;
  Timestamp ends_at = kNever;  ///< it is out: at this moment the session has ended
  std::vector<Signal> signals;
  std::uint32_t uid = 0;  ///< of the person on that device
  OverlayAddresses addresses;
};

}  // namespace cordon::policy
