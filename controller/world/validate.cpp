#include "controller/world/validate.h"

#include <fmt/format.h>

#include <algorithm>

#include "controller/world/addresses.h"
#include "controller/world/names.h"
#include "controller/world/validate_behind.h"
#include "controller/world/validate_policy.h"
#include "policy/parse.h"
#include "proto/canonical_json.h"

namespace cordon::controller {

namespace {

using namespace kinds;
using policy::DeviceState;
using policy::World;

constexpr auto kLongestApiToken = std::chrono::days(90);

bool is_device_name(std::string_view name) {
  return !name.empty() && name.size() <= 63 && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

Result<> check_new_name(const World& world, const DeviceId& id, std::string_view hint) {
  if (!is_device_name(id.value)) {
    return fail(ErrorCode::invalid, fmt::format("\"{}\" can't be a device's name", id.value),
                "a name has 1 to 63 lower-case letters, digits or '-'");
  }
  if (world.devices.contains(id)) {
    return fail(ErrorCode::conflict, fmt::format("the name \"{}\" is or was another device's", id.value),
                std::string(hint));
  }
  return {};
}

Result<> check_tags(const std::set<std::string>& tags) {
  for (const auto& tag : tags) {
    if (!wire::is_id(tag, 63)) {
      return fail(ErrorCode::invalid, fmt::format("\"{}\" can't be a tag", tag),
                  "a tag has 1 to 63 letters, digits, '.', '_' or '-'");
    }
  }
  return {};
}

/// A device that is there and not removed.
Result<const policy::Device*> device_of(const World& world, const DeviceId& id) {
  const auto found = world.devices.find(id);
  if (found == world.devices.end() || found->second.state == DeviceState::removed) {
    return fail(ErrorCode::not_found, fmt::format("there is no device \"{}\"", id.value));
  }
  return &found->second;
}

/// One with a daemon.
Result<const policy::Device*> active_device(const World& world, const DeviceId& id) {
  CORDON_ASSIGN(const auto* device, device_of(world, id));
  if (device->is_behind()) {
    return fail(ErrorCode::conflict,
                fmt::format("\"{}\" is behind \"{}\" and has no daemon", id.value, device->gateway.value));
  }
  if (device->state == DeviceState::pending) {
    return fail(ErrorCode::conflict, fmt::format("device \"{}\" waits for approval", id.value),
                "approve it first: cordon device approve " + id.value);
  }
  return device;
}

Result<const policy::User*> user_of(const World& world, const SubjectId& id) {
  const auto found = world.users.find(id);
  if (found == world.users.end()) {
    return fail(ErrorCode::not_found, fmt::format("there is no user \"{}\"", id.value));
  }
  return &found->second;
}

Result<> check_token_is_new(const World& world, const TokenId& id) {
  if (world.join_tokens.contains(id) || world.api_tokens.contains(id)) {
    return fail(ErrorCode::conflict, fmt::format("there is a token \"{}\" already", id.value));
  }
  return {};
}

Result<> check_wireguard_key(const World& world, const DeviceId& owner, const WireguardKey& key) {
  if (key == WireguardKey{}) return fail(ErrorCode::invalid, "the WireGuard key is all zeros");
  const auto known = world.wireguard_keys.find(key);
  if (known == world.wireguard_keys.end()) return {};
  if (known->second != owner) return fail(ErrorCode::conflict, "another device has that WireGuard key");
  if (world.devices.at(owner).wireguard_key == key)
    return fail(ErrorCode::conflict, "that is the device's WireGuard key already");
  return {};  // it turns to the key that it offered
}

Result<> validate_one(const World&, const InstallationCreated& k, Timestamp) {
  const auto& i = k.installation;
  static const auto kSharedSpace = Prefix::of(Address::from_v4(0x64400000), 10);  // RFC 6598
  if (!i.overlay_v4.address.is_v4() || i.overlay_v4.length() < 10 || i.overlay_v4.length() > 30 ||
      !kSharedSpace.contains(i.overlay_v4.address)) {
    return fail(ErrorCode::invalid,
                fmt::format("the IPv4 overlay \"{}\" can't be used", i.overlay_v4.to_string()),
                "it must lie in 100.64.0.0/10 and be a /30 or larger");
  }
  if (i.overlay_v6.address.is_v4() || i.overlay_v6.length() != 48 || i.overlay_v6.address.bytes[0] != 0xfd) {
    return fail(ErrorCode::invalid,
                fmt::format("the IPv6 overlay \"{}\" can't be used", i.overlay_v6.to_string()),
                "it must be a /48 in fd00::/8 (RFC 4193)");
  }
  return {};
}

Result<> validate_one(const World& world, const JoinTokenCreated& k, Timestamp at) {
  CORDON_TRY(check_token_is_new(world, k.token.id));
  CORDON_TRY(check_tags(k.token.tags));
  if (k.token.expires_at <= at)
    return fail(ErrorCode::invalid, "the join token would be expired from the start");
  if (k.token.approve && !k.token.source) {
    return fail(ErrorCode::invalid, "approval is waived only for a source prefix",
                "say from where devices may enrol, or approve them by hand");
  }
  return {};
}

Result<> validate_one(const World& world, const JoinTokenRevoked& k, Timestamp) {
  const auto found = world.join_tokens.find(k.token);
  if (found == world.join_tokens.end()) {
    return fail(ErrorCode::not_found, fmt::format("there is no join token \"{}\"", k.token.value));
  }
  if (found->second.revoked) return fail(ErrorCode::conflict, "that join token is revoked already");
  return {};
}

Result<> validate_one(const World& world, const DeviceEnrolled& k, Timestamp at) {
  const auto token = world.join_tokens.find(k.token);
  if (token == world.join_tokens.end()) return fail(ErrorCode::unauthorized, "the join token is unknown");
  if (token->second.revoked) return fail(ErrorCode::unauthorized, "the join token is revoked");
  if (token->second.expires_at <= at) {
    return fail(ErrorCode::unauthorized, "the join token has expired", "ask for a new one");
  }
  if (token->second.uses_left == 0) {
    return fail(ErrorCode::unauthorized, "the join token is used up", "ask for a new one");
  }
  CORDON_TRY(check_new_name(world, k.device, "names are never used again: choose another in node.toml"));
  if (const auto known = world.device_keys.find(k.public_key_der); known != world.device_keys.end())
    return fail(ErrorCode::conflict, fmt::format("device \"{}\" has that key already", known->second.value));
  CORDON_TRY(check_wireguard_key(world, k.device, k.wireguard_key));
  if (token->second.approve) CORDON_TRY(next_v4(world, at));
  return {};
}

Result<> validate_one(const World& world, const DeviceAdded& k, Timestamp) {
  CORDON_TRY(check_new_name(world, k.device, "names are never used again: choose another"));
  CORDON_TRY(check_tags(k.tags));
  return check_behind(world, k);
}

Result<> validate_one(const World& world, const DeviceApproved& k, Timestamp at) {
  CORDON_ASSIGN(const auto* device, device_of(world, k.device));
  if (device->is_behind()) {
    return fail(
        ErrorCode::conflict,
        fmt::format("\"{}\" is behind \"{}\" and comes in with it", k.device.value, device->gateway.value),
        "approve its gateway: cordon device approve " + device->gateway.value);
  }
  if (device->state == DeviceState::active) {
    return fail(ErrorCode::conflict, fmt::format("device \"{}\" is approved already", k.device.value));
  }
  CORDON_TRY(next_v4(world, at));
  return {};
}

Result<> validate_one(const World& world, const DeviceRemoved& k, Timestamp) {
  CORDON_TRY(device_of(world, k.device));
  return check_nothing_behind(world, k.device);
}

Result<> validate_one(const World& world, const DeviceTagged& k, Timestamp) {
  CORDON_TRY(device_of(world, k.device));
  return check_tags(k.tags);
}

Result<> validate_one(const World& world, const DeviceClassified& k, Timestamp) {
  CORDON_ASSIGN(const auto* device, device_of(world, k.device));
  if (device->ownership == k.ownership) {
    return fail(ErrorCode::conflict, fmt::format("that is what \"{}\" is already", k.device.value));
  }
  return {};
}

Result<> validate_one(const World& world, const DeviceFacts& k, Timestamp) {
  CORDON_ASSIGN(const auto* device, active_device(world, k.device));
  if (device->checks == k.checks && device->attestation == k.attestation && device->source == k.source &&
      device->country == k.country) {
    return fail(ErrorCode::conflict, fmt::format("that is known of \"{}\" already", k.device.value));
  }
  for (const auto& check : k.checks.value_or(std::set<std::string>{})) {
    if (!wire::is_id(check, 63)) {
      return fail(ErrorCode::invalid, fmt::format("\"{}\" can\'t be a check\'s name", check),
                  "a check has 1 to 63 letters, digits, '.', '_' or '-'");
    }
  }
  return {};
}

Result<> validate_one(const World& world, const DeviceIsolated& k, Timestamp) {
  CORDON_ASSIGN(const auto* device, device_of(world, k.device));
  if (device->isolated)
    return fail(ErrorCode::conflict, fmt::format("\"{}\" is isolated already", k.device.value));
  return {};
}

Result<> validate_one(const World& world, const DeviceReleased& k, Timestamp) {
  CORDON_ASSIGN(const auto* device, device_of(world, k.device));
  if (!device->isolated)
    return fail(ErrorCode::conflict, fmt::format("\"{}\" isn't isolated", k.device.value));
  return {};
}

Result<> validate_one(const World& world, const WireguardKeyChanged& k, Timestamp) {
  CORDON_TRY(active_device(world, k.device));
  return check_wireguard_key(world, k.device, k.wireguard_key);
}

Result<> validate_one(const World& world, const KeyRotationAsked& k, Timestamp) {
  CORDON_ASSIGN(const auto* device, active_device(world, k.device));
  if (device->isolated) {
    return fail(ErrorCode::conflict, fmt::format("\"{}\" is isolated", k.device.value),
                "release it first: cordon release " + k.device.value);
  }
  if (device->rotation_asked) {
    return fail(ErrorCode::conflict, fmt::format("\"{}\" was asked for a new key already", k.device.value),
                "it makes one as soon as it is connected");
  }
  return {};
}

Result<> validate_one(const World& world, const WireguardKeyOffered& k, Timestamp) {
  CORDON_ASSIGN(const auto* device, active_device(world, k.device));
  if (device->isolated) return fail(ErrorCode::forbidden, fmt::format("\"{}\" is isolated", k.device.value));
  if (device->next_wireguard_key == k.wireguard_key)
    return fail(ErrorCode::conflict, "that is the device's next WireGuard key already");
  return check_wireguard_key(world, k.device, k.wireguard_key);
}

Result<> validate_one(const World& world, const CertificateIssued& k, Timestamp) {
  CORDON_TRY(active_device(world, k.device));
  return {};
}

Result<> validate_one(const World& world, const UserAdded& k, Timestamp) {
  if (world.users.contains(k.user)) {
    return fail(ErrorCode::conflict, fmt::format("there is a user \"{}\" already", k.user.value));
  }
  return {};
}

Result<> validate_one(const World& world, const UserDisabled& k, Timestamp) {
  CORDON_ASSIGN(const auto* user, user_of(world, k.user));
  if (user->disabled == k.disabled) {
    return fail(ErrorCode::conflict,
                k.disabled ? "that user is disabled already" : "that user isn't disabled");
  }
  return {};
}

Result<> validate_one(const World& world, const SessionOpened& k, Timestamp at) {
  const auto& s = k.session;
  if (world.sessions.contains(s.id)) {
    return fail(ErrorCode::conflict, fmt::format("there is a session \"{}\" already", s.id.value));
  }
  CORDON_ASSIGN(const auto* user, user_of(world, s.user));
  if (user->disabled) return fail(ErrorCode::forbidden, "that user is disabled");
  CORDON_ASSIGN(const auto* device, active_device(world, s.device));
  if (device->isolated) return fail(ErrorCode::forbidden, fmt::format("\"{}\" is isolated", s.device.value));
  if (s.ends_at <= at) return fail(ErrorCode::invalid, "the session would be over from the start");
  CORDON_TRY(next_v4(world, at));
  return {};
}

Result<> validate_one(const World& world, const SessionClosed& k, Timestamp) {
  if (!world.sessions.contains(k.session)) {
    return fail(ErrorCode::not_found, fmt::format("there is no session \"{}\"", k.session.value));
  }
  return {};
}

Result<> validate_one(const World& world, const SessionSignals& k, Timestamp) {
  const auto session = world.sessions.find(k.session);
  if (session == world.sessions.end()) {
    return fail(ErrorCode::not_found, fmt::format("there is no session \"{}\"", k.session.value));
  }
  if (session->second.signals == k.signals) {
    return fail(ErrorCode::conflict, fmt::format("that is known of \"{}\" already", k.session.value));
  }
  return {};
}

Result<> validate_one(const World& world, const ApiTokenCreated& k, Timestamp at) {
  CORDON_TRY(check_token_is_new(world, k.token.id));
  if (k.token.expires_at <= at)
    return fail(ErrorCode::invalid, "the API token would be expired from the start");
  if (k.token.expires_at - at > kLongestApiToken) {
    return fail(ErrorCode::invalid, "an API token lives 90 days at most");
  }
  return {};
}

Result<> validate_one(const World& world, const ApiTokenRevoked& k, Timestamp) {
  const auto found = world.api_tokens.find(k.token);
  if (found == world.api_tokens.end()) {
    return fail(ErrorCode::not_found, fmt::format("there is no API token \"{}\"", k.token.value));
  }
  if (found->second.revoked) return fail(ErrorCode::conflict, "that API token is revoked already");
  return {};
}

Result<> validate_one(const World&, const TimeAdvanced&, Timestamp) {
  return {};
}
Result<> validate_one(const World&, const LoginSlowed&, Timestamp) {
  return {};
}
Result<> validate_one(const World&, const FormatRaised&, Timestamp) {
  return {};
}

}  // namespace

Result<> validate(const World& world, const Kind& kind, Timestamp at) {
  const bool first = std::holds_alternative<InstallationCreated>(kind);
  if (first && world.revision.value != 0)
    return fail(ErrorCode::conflict, "the installation was created already");
  if (!first && world.revision.value == 0) {
    return fail(ErrorCode::conflict, "the first record must be \"installation created\"");
  }
  return std::visit([&](const auto& k) { return validate_one(world, k, at); }, kind);
}

Result<policy::PolicyPtr> parse_policy(const PolicyApplied& kind, const TimeZones& zones) {
  auto parsed = policy::parse(kind.files, zones);
  if (parsed.ok()) return parsed.policy;
  std::string all;
  for (const auto& diagnostic : parsed.diagnostics) {
    if (!all.empty()) all += '\n';
    all += policy::render(diagnostic);
  }
  return fail(ErrorCode::invalid, std::move(all));
}

}  // namespace cordon::controller
