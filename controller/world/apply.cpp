#include "controller/world/apply.h"

#include <fmt/format.h>

#include <algorithm>

#include "controller/world/addresses.h"
#include "controller/world/kinds.h"
#include "controller/world/validate.h"
#include "proto/canonical_json.h"

namespace cordon::controller {

namespace {

using namespace kinds;
using policy::DeviceState;
using policy::World;

/// What a fold knows besides the world and the kind.
struct Moment {
  const Record& record;
  std::string name;          ///< of "user added"
  policy::PolicyPtr policy;  ///< of "policy applied"
};

void close_session(World& world, const SessionId& id, Timestamp at) {
  give_back_v4(world, world.sessions.at(id).addresses.v4, at);
  world.sessions.close(id);
}

void close_sessions(World& world, const std::vector<SessionId>& ids, Timestamp at) {
  for (const SessionId& id : ids) close_session(world, id, at);
}

void list_keys(World& world, const policy::Device& device) {
  world.wireguard_keys[device.wireguard_key] = device.id;
  if (device.next_wireguard_key) world.wireguard_keys[*device.next_wireguard_key] = device.id;
}

void forget_keys(World& world, const policy::Device& device) {
  world.wireguard_keys.erase(device.wireguard_key);
  if (device.next_wireguard_key) world.wireguard_keys.erase(*device.next_wireguard_key);
}

/// validate() made sure that there is an address.
void activate(World& world, policy::Device& device, Timestamp at) {
  const auto v4 = next_v4(world, at).value();
  world.v4.take(v4, at);
  device.addresses = {.v4 = v4, .v6 = device_v6(world, device.number)};
  device.state = DeviceState::active;
  policy::number_target(world, device);
}

void fold(World& world, const InstallationCreated& k, const Moment&) {
  world.installation = k.installation;
  world.v4 = policy::AddressPool(k.installation.overlay_v4);
}

void put_in_force(World& world, policy::PolicyPtr policy, policy::PolicyFilesPtr files, Revision revision) {
  world.policy = std::move(policy);
  world.policy_files = std::move(files);
  world.policy_revision = revision;
  world.longest_lease = Seconds{0};
  for (const policy::Rule& rule : world.policy->rules)
    world.longest_lease = std::max(world.longest_lease, rule.lease);
  policy::number_targets(world);
}

void fold(World& world, const PolicyApplied& k, const Moment& m) {
  if (k.confirm_by != Timestamp{}) {
    world.pending = {.confirm_by = k.confirm_by,
                     .confirmed = std::move(world.policy),
                     .confirmed_files = std::move(world.policy_files),
                     .confirmed_revision = world.policy_revision};
  }
  put_in_force(world, m.policy, std::make_shared<const std::vector<SourceFile>>(k.files), m.record.revision);
  for (const auto& rule : world.policy->rules) {
    const auto [slot, is_new] = world.rule_ids.try_emplace(rule.name, world.next_rule);
    if (is_new) ++world.next_rule;
  }
}

void fold(World& world, const PolicyConfirmed&, const Moment&) {
  world.pending.reset();
}

/// The policy's text and nothing else: rules and targets keep their numbers, isolations and sessions stay.
void fold(World& world, const PolicyRolledBack&, const Moment&) {
  const World::Pending pending = *std::exchange(world.pending, std::nullopt);
  put_in_force(world, pending.confirmed, pending.confirmed_files, pending.confirmed_revision);
}

void fold(World& world, const JoinTokenCreated& k, const Moment&) {
  world.join_tokens[k.token.id] = k.token;
}
void fold(World& world, const JoinTokenRevoked& k, const Moment&) {
  world.join_tokens.at(k.token).revoked = true;
}

void fold(World& world, const DeviceEnrolled& k, const Moment& m) {
  auto& token = world.join_tokens.at(k.token);
  --token.uses_left;
  auto& device = world.devices[k.device];
  device.id = k.device;
  device.number = world.next_device++;
  device.tags = token.tags;
  device.ownership = token.ownership;
  device.public_key_der = k.public_key_der;
  device.wireguard_key = k.wireguard_key;
  device.presharing = k.presharing;
  device.platform = k.platform;
  device.token = k.token;
  device.enrolled_at = m.record.at;
  list_keys(world, device);
  world.device_keys[device.public_key_der] = device.id;
  if (token.approve) activate(world, device, m.record.at);
}

void fold(World& world, const DeviceAdded& k, const Moment& m) {
  policy::Device device{.id = k.device, .number = world.next_device++, .tags = k.tags};
  device.ownership = k.ownership;
  device.gateway = k.gateway;
  device.prefixes = k.prefixes;
  device.enrolled_at = m.record.at;
  policy::put_behind(world, std::move(device));
}

void fold(World& world, const DeviceApproved& k, const Moment& m) {
  activate(world, world.devices.at(k.device), m.record.at);
  policy::follow_gateway(world, k.device);
}

void fold(World& world, const DeviceRemoved& k, const Moment& m) {
  close_sessions(world, world.sessions.on(k.device), m.record.at);
  auto& device = world.devices.at(k.device);
  if (device.is_behind()) {
    policy::forget_behind(world, device);
  } else {
    if (device.state == DeviceState::active) give_back_v4(world, device.addresses.v4, m.record.at);
    forget_keys(world, device);
    world.device_keys.erase(device.public_key_der);
  }
  device.state = DeviceState::removed;
  device.isolated = device.gateway_isolated = false;
  device.next_wireguard_key.reset();
  device.rotation_asked = false;
  device.addresses = {};
}

void fold(World& world, const DeviceTagged& k, const Moment&) {
  auto& device = world.devices.at(k.device);
  device.tags = k.tags;
  policy::number_target(world, device);
}

void fold(World& world, const DeviceClassified& k, const Moment&) {
  world.devices.at(k.device).ownership = k.ownership;
}

void fold(World& world, const DeviceFacts& k, const Moment&) {
  auto& device = world.devices.at(k.device);
  device.checks = k.checks;
  device.attestation = k.attestation;
  device.source = k.source;
  device.country = k.country;
}

void fold(World& world, const DeviceIsolated& k, const Moment& m) {
  close_sessions(world, world.sessions.on(k.device), m.record.at);
  world.devices.at(k.device).isolated = true;
  policy::follow_gateway(world, k.device);
}

void fold(World& world, const DeviceReleased& k, const Moment&) {
  world.devices.at(k.device).isolated = false;
  policy::follow_gateway(world, k.device);
}

void fold(World& world, const WireguardKeyChanged& k, const Moment&) {
  auto& device = world.devices.at(k.device);
  forget_keys(world, device);
  device.wireguard_key = k.wireguard_key;
  if (device.next_wireguard_key == k.wireguard_key) device.presharing = true;
  device.next_wireguard_key.reset();
  device.rotation_asked = false;
  list_keys(world, device);
}

void fold(World& world, const KeyRotationAsked& k, const Moment&) {
  world.devices.at(k.device).rotation_asked = true;
}

void fold(World& world, const WireguardKeyOffered& k, const Moment&) {
  auto& device = world.devices.at(k.device);
  forget_keys(world, device);
  device.next_wireguard_key = k.wireguard_key;
  list_keys(world, device);
}

void fold(World&, const CertificateIssued&, const Moment&) {}

void fold(World& world, const UserAdded& k, const Moment& m) {
  world.users[k.user] = {.id = k.user, .issuer = k.issuer, .name = m.name};
  if (!m.name.empty()) world.user_ids.try_emplace({k.issuer, m.name}, k.user);
}

void fold(World& world, const UserDisabled& k, const Moment& m) {
  if (k.disabled) close_sessions(world, world.sessions.of(k.user), m.record.at);
  world.users.at(k.user).disabled = k.disabled;
}

/// A new login of the same uid on the same device takes the place of the one before.
void fold(World& world, const SessionOpened& k, const Moment& m) {
  const auto v4 = next_v4(world, m.record.at).value();
  for (const SessionId& id : world.sessions.on(k.session.device))
    if (world.sessions.at(id).uid == k.session.uid) close_session(world, id, m.record.at);
  auto session = k.session;
  session.addresses = {.v4 = v4, .v6 = session_v6(world, world.next_session_address++)};
  world.v4.take(v4, m.record.at);
  world.sessions.put(std::move(session));
}

void fold(World& world, const SessionClosed& k, const Moment& m) {
  close_session(world, k.session, m.record.at);
}

void fold(World& world, const SessionSignals& k, const Moment&) {
  world.sessions.change(k.session, [&](policy::Session& session) { session.signals = k.signals; });
}

void fold(World& world, const ApiTokenCreated& k, const Moment&) {
  world.api_tokens[k.token.id] = k.token;
}
void fold(World& world, const ApiTokenRevoked& k, const Moment&) {
  world.api_tokens.at(k.token).revoked = true;
}

void fold(World& world, const TimeAdvanced&, const Moment& m) {
  const auto at = m.record.at;
  close_sessions(world, world.sessions.over(at), at);
  world.v4.wake(at);
}

void fold(World&, const LoginSlowed&, const Moment&) {}

/// The log's matter (format_after), not the world's.
void fold(World&, const FormatRaised&, const Moment&) {}

Result<> check_actor(const std::string& actor) {
  const bool plain = !actor.empty() && actor.size() <= 255 &&
                     std::ranges::none_of(actor, [](char c) { return static_cast<unsigned char>(c) < 0x20; });
  if (!plain || !wire::parse_json(wire::canonical(boost::json::value(boost::json::string(actor))))) {
    return fail(ErrorCode::invalid, "an actor is 1 to 255 bytes of UTF-8 without control characters");
  }
  return {};
}

/// The policy of a "policy applied", null for every other kind.
Result<policy::PolicyPtr> policy_of(const Kind& kind, const TimeZones& zones, policy::PolicyPtr parsed) {
  const auto* applied = std::get_if<PolicyApplied>(&kind);
  if (applied == nullptr) return policy::PolicyPtr{};
  if (parsed != nullptr) return parsed;
  return parse_policy(*applied, zones);
}

}  // namespace

Result<> check(const World& world, const Proposal& proposal, Timestamp at, const TimeZones& zones) {
  CORDON_TRY(check_actor(proposal.actor));
  CORDON_ASSIGN(const auto kind, decode(proposal.kind, proposal.version, proposal.payload));
  CORDON_TRY(validate(world, kind, at));
  CORDON_TRY(policy_of(kind, zones, proposal.parsed));
  return {};
}

Result<> apply(World& world, const Record& record, const Unsealer& unseal, const TimeZones& zones,
               policy::PolicyPtr parsed) {
  CORDON_TRY(wire::verify_link(record, world.revision, world.head, world.at));
  const auto with_place = [&record](Error error) {
    return std::unexpected(
        in_context(std::move(error), fmt::format("folding revision {}", record.revision.value)));
  };
  const auto kind = decode(record.kind, record.version, record.payload);
  if (!kind) return with_place(kind.error());
  auto policy = policy_of(*kind, zones, std::move(parsed));
  if (!policy) return with_place(policy.error());

  // A change that was overtaken by another of the same batch (a session closed twice) folds to nothing, on
  // every controller alike; only the first record can't be passed over.
  const auto sense = validate(world, *kind, record.at);
  if (!sense && world.revision.value == 0) return with_place(sense.error());
  if (sense) {
    Moment moment{.record = record, .name = {}, .policy = std::move(*policy)};
    if (const auto* added = std::get_if<UserAdded>(&*kind)) {
      auto name = unseal(added->user, added->sealed_name);
      if (!name) return with_place(name.error());
      moment.name = name->value_or("");
    }
    std::visit([&](const auto& k) { fold(world, k, moment); }, *kind);
  }
  world.revision = record.revision;
  world.at = record.at;
  world.head = record.hash;
  return {};
}

}  // namespace cordon::controller
