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

void close_session(World& world, std::map<SessionId, policy::Session>::iterator session, Timestamp at) {
  give_back_v4(world, session->second.addresses.v4, at);
  world.sessions.erase(session);
}

template <class Predicate>
void close_sessions_if(World& world, Timestamp at, const Predicate& predicate) {
  for (auto it = world.sessions.begin(); it != world.sessions.end();) {
    const auto session = it++;
    if (predicate(session->second)) close_session(world, session, at);
  }
}

/// validate() made sure that there is an address.
void activate(World& world, policy::Device& device, Timestamp at) {
  const auto v4 = next_v4(world, at).value();
  take_v4(world, v4, device.id.value);
  device.addresses = {.v4 = v4, .v6 = device_v6(world, device.number)};
  device.state = DeviceState::active;
  policy::number_target(world, device);
}

void fold(World& world, const InstallationCreated& k, const Moment&) {
  world.installation = k.installation;
}

void fold(World& world, const PolicyApplied& k, const Moment& m) {
  if (k.confirm_by != Timestamp{}) {
    world.pending = {.confirm_by = k.confirm_by,
                     .confirmed = std::move(world.policy),
                     .confirmed_files = std::move(world.policy_files),
                     .confirmed_revision = world.policy_revision};
  }
  world.policy = m.policy;
  world.policy_files = k.files;
  world.policy_revision = m.record.revision;
  policy::number_targets(world);
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
  world.policy = std::move(world.pending->confirmed);
  world.policy_files = std::move(world.pending->confirmed_files);
  world.policy_revision = world.pending->confirmed_revision;
  world.pending.reset();
  policy::number_targets(world);
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
  if (token.approve) activate(world, device, m.record.at);
}

void fold(World& world, const DeviceApproved& k, const Moment& m) {
  activate(world, world.devices.at(k.device), m.record.at);
}

void fold(World& world, const DeviceRemoved& k, const Moment& m) {
  close_sessions_if(world, m.record.at, [&](const auto& session) { return session.device == k.device; });
  auto& device = world.devices.at(k.device);
  if (device.state == DeviceState::active) give_back_v4(world, device.addresses.v4, m.record.at);
  device.state = DeviceState::removed;
  device.isolated = false;
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
  close_sessions_if(world, m.record.at, [&](const auto& session) { return session.device == k.device; });
  world.devices.at(k.device).isolated = true;
}

void fold(World& world, const DeviceReleased& k, const Moment&) {
  world.devices.at(k.device).isolated = false;
}

void fold(World& world, const WireguardKeyChanged& k, const Moment&) {
  auto& device = world.devices.at(k.device);
  device.wireguard_key = k.wireguard_key;
  if (device.next_wireguard_key == k.wireguard_key) device.presharing = true;
  device.next_wireguard_key.reset();
  device.rotation_asked = false;
}

void fold(World& world, const KeyRotationAsked& k, const Moment&) {
  world.devices.at(k.device).rotation_asked = true;
}

void fold(World& world, const WireguardKeyOffered& k, const Moment&) {
  world.devices.at(k.device).next_wireguard_key = k.wireguard_key;
}

void fold(World&, const CertificateIssued&, const Moment&) {}

void fold(World& world, const UserAdded& k, const Moment& m) {
  world.users[k.user] = {.id = k.user, .issuer = k.issuer, .name = m.name};
}

void fold(World& world, const UserDisabled& k, const Moment& m) {
  if (k.disabled) {
    close_sessions_if(world, m.record.at, [&](const auto& session) { return session.user == k.user; });
  }
  world.users.at(k.user).disabled = k.disabled;
}

/// A new login of the same uid on the same device takes the place of the one before.
void fold(World& world, const SessionOpened& k, const Moment& m) {
  const auto v4 = next_v4(world, m.record.at).value();
  close_sessions_if(world, m.record.at, [&](const auto& session) {
    return session.device == k.session.device && session.uid == k.session.uid;
  });
  auto session = k.session;
  session.addresses = {.v4 = v4, .v6 = session_v6(world, world.next_session_address++)};
  take_v4(world, v4, session.id.value);
  world.sessions[session.id] = std::move(session);
}

void fold(World& world, const SessionClosed& k, const Moment& m) {
  close_session(world, world.sessions.find(k.session), m.record.at);
}

void fold(World& world, const SessionSignals& k, const Moment&) {
  world.sessions.at(k.session).signals = k.signals;
}

void fold(World& world, const ApiTokenCreated& k, const Moment&) {
  world.api_tokens[k.token.id] = k.token;
}
void fold(World& world, const ApiTokenRevoked& k, const Moment&) {
  world.api_tokens.at(k.token).revoked = true;
}

void fold(World& world, const TimeAdvanced&, const Moment& m) {
  const auto at = m.record.at;
  close_sessions_if(world, at, [at](const auto& session) { return session.ends_at <= at; });
  std::erase_if(world.v4_quarantine, [at](const auto& entry) { return entry.second <= at; });
}

void fold(World&, const LoginSlowed&, const Moment&) {}

Result<> check_actor(const std::string& actor) {
  const bool plain = !actor.empty() && actor.size() <= 255 &&
                     std::ranges::none_of(actor, [](char c) { return static_cast<unsigned char>(c) < 0x20; });
  if (!plain || !wire::parse_json(wire::canonical(boost::json::value(boost::json::string(actor))))) {
    return fail(ErrorCode::invalid, "an actor is 1 to 255 bytes of UTF-8 without control characters");
  }
  return {};
}

/// The policy of a "policy applied", null for every other kind.
Result<policy::PolicyPtr> policy_of(const Kind& kind, const TimeZones& zones) {
  const auto* applied = std::get_if<PolicyApplied>(&kind);
  if (applied == nullptr) return policy::PolicyPtr{};
  return parse_policy(*applied, zones);
}

}  // namespace

Result<> check(const World& world, const Proposal& proposal, Timestamp at, const TimeZones& zones) {
  CORDON_TRY(check_actor(proposal.actor));
  CORDON_ASSIGN(const auto kind, decode(proposal.kind, proposal.version, proposal.payload));
  CORDON_TRY(validate(world, kind, at));
  CORDON_TRY(policy_of(kind, zones));
  return {};
}

Result<> apply(World& world, const Record& record, const Unsealer& unseal, const TimeZones& zones) {
  CORDON_TRY(wire::verify_link(record, world.revision, world.head, world.at));
  const auto with_place = [&record](Error error) {
    return std::unexpected(
        in_context(std::move(error), fmt::format("folding revision {}", record.revision.value)));
  };
  const auto kind = decode(record.kind, record.version, record.payload);
  if (!kind) return with_place(kind.error());
  auto policy = policy_of(*kind, zones);
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
