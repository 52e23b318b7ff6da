// Random histories: they fold alike twice, and any edit, cut or reorder of their export is found.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>

#include "proto/audit.h"
#include "tests/support/describe_world.h"
#include "tests/support/log_fixture.h"

namespace cordon::controller {
namespace {

using namespace test;
using namespace kinds;

const TestAuthority& authority() {
  static const TestAuthority authority;
  return authority;
}

template <class T>
T pick(std::vector<T> from) {
  return from[*rc::gen::inRange<std::size_t>(0, from.size())];
}

DeviceFacts some_facts(DeviceId device) {
  DeviceFacts facts{.device = std::move(device)};
  if (*rc::gen::arbitrary<bool>()) facts.checks = {"os_updates"};
  if (*rc::gen::arbitrary<bool>()) facts.attestation = policy::Attestation::software;
  if (*rc::gen::arbitrary<bool>()) facts.source = must(Address::parse("192.0.2.1"));
  return facts;
}

/// Most often the policy in force.
Revision some_policy(const History& h) {
  return *rc::gen::inRange(0, 4) == 0 ? Revision(1) : std::max(h.world.policy_revision, Revision(1));
}

/// Some change, sensible or not: names come from a small space so that changes meet.
Kind some_change(const History& h, int number) {
  const auto device = "d" + std::to_string(*rc::gen::inRange(0, 5));
  const auto user_id = "u-" + std::to_string(*rc::gen::inRange(0, 3));
  const auto token = "t-" + std::to_string(*rc::gen::inRange(0, 3));
  const auto session_id = "s-" + std::to_string(*rc::gen::inRange(0, 8));
  const auto uid = *rc::gen::inRange(1000u, 1003u);
  const auto later = h.now + Seconds(*rc::gen::inRange(1, 3000));
  WireguardKey key{1, static_cast<std::uint8_t>(*rc::gen::inRange(0, 12))};  // some are others'
  switch (*rc::gen::inRange(0, 24)) {
    case 0:
      return join_token(token, *rc::gen::inRange(1u, 4u), *rc::gen::arbitrary<bool>());
    case 1:
      return JoinTokenRevoked{TokenId(token)};
    case 2:
      return enrolled(device, token, static_cast<unsigned>(number));
    case 3:
      return DeviceApproved{DeviceId(device)};
    case 4:
      return DeviceRemoved{DeviceId(device), "gone"};
    case 5:
      return DeviceIsolated{DeviceId(device), "why"};
    case 6:
      return DeviceReleased{DeviceId(device)};
    case 7:
      return user(user_id, user_id + "@acme.example");
    case 8:
      return UserDisabled{SubjectId(user_id), *rc::gen::arbitrary<bool>()};
    case 9:
      return SessionClosed{SessionId(session_id), ""};
    case 10:
      return TimeAdvanced{};
    case 11:
      return DeviceTagged{DeviceId(device), {*rc::gen::arbitrary<bool>() ? "x" : "web"}};
    case 12:
      return DeviceClassified{DeviceId(device), policy::Ownership::partner};
    case 13:
      return some_facts(DeviceId(device));
    case 14:
      return SessionSignals{SessionId(session_id), {{"new country", *rc::gen::inRange(0, 101), later}}};
    case 15:
      return PolicyApplied{{{"a.toml", "[segments.s" + std::to_string(*rc::gen::inRange(0, 3)) +
                                           "]\nmembers = [\"tag:web\"]\n"}},
                           later,
                           "2025b"};
    case 16:
      return PolicyConfirmed{some_policy(h)};
    case 17:
      return PolicyRolledBack{some_policy(h), "why"};
    case 18:
      return WireguardKeyOffered{DeviceId(device), key};
    case 19:
      return WireguardKeyChanged{DeviceId(device), key};
    case 20:
    case 21: {
      const auto octet = *rc::gen::inRange(0, 4);
      const std::string prefix = "192.168." + std::to_string(octet) + (octet % 2 == 0 ? ".0/23" : ".7/32");
      return DeviceAdded{.device = DeviceId("b" + std::to_string(*rc::gen::inRange(0, 6))),
                         .gateway = DeviceId(*rc::gen::inRange(0, 6) == 0 ? "b0" : device),
                         .prefixes = {must(Prefix::parse(prefix))},
                         .tags = {"web"},
                         .ownership = {}};
    }
    default:
      return session(session_id, user_id, device, uid, later);
  }
}

/// A valid history of some length, in a pool so small that it wraps and runs out.
History some_history(int changes) {
  History h;
  h.add(installation("100.64.0.0/29"));
  h.add(join_token("t-0"));
  for (int i = 0; i < changes; ++i) {
    (void)h.try_add(some_change(h, i), std::chrono::microseconds(*rc::gen::inRange(1, 900'000'000)));
  }
  return h;
}

RC_GTEST_PROP(Fold, GivesTheSameWorldTwice, ()) {
  const auto h = some_history(60);
  policy::World again;
  for (const auto& record : h.records)
    RC_ASSERT(apply(again, record, plain_name, system_time_zones()).has_value());
  RC_ASSERT(describe(again) == describe(h.world));
  RC_ASSERT(describe_since(again) == describe_since(h.world));
}

RC_GTEST_PROP(Fold, KeepsAddressesApart, ()) {
  const auto h = some_history(60);
  std::set<Address> v4, v6;
  std::size_t holders = 0;
  const auto hold = [&](const policy::OverlayAddresses& addresses) {
    ++holders;
    RC_ASSERT(v4.insert(addresses.v4).second);
    RC_ASSERT(v6.insert(addresses.v6).second);
    RC_ASSERT(h.world.v4.is_in_use(addresses.v4));
    RC_ASSERT(h.world.installation.overlay_v4.contains(addresses.v4));
    RC_ASSERT(!h.world.v4.is_resting(addresses.v4));
  };
  for (const auto& [id, device] : h.world.devices) {
    if (device.is_node())
      hold(device.addresses);
    else
      RC_ASSERT(device.addresses == policy::OverlayAddresses{});
  }
  for (const auto& [id, session] : h.world.sessions) hold(session.addresses);
  RC_ASSERT(h.world.v4.in_use() == holders);
}

RC_GTEST_PROP(Fold, FindsPeopleAndKeysAsAWalkOverAllWould, ()) {
  const auto h = some_history(60);
  std::map<WireguardKey, DeviceId> wireguard;
  std::map<Bytes, DeviceId> keys;
  for (const auto& [id, device] : h.world.devices) {
    if (device.state == policy::DeviceState::removed || device.is_behind()) continue;
    keys.emplace(device.public_key_der, id);
    wireguard.emplace(device.wireguard_key, id);
    if (device.next_wireguard_key) wireguard.emplace(*device.next_wireguard_key, id);
  }
  std::map<std::pair<std::string, std::string>, SubjectId> people;
  for (const auto& [id, user] : h.world.users) people.emplace(std::pair(user.issuer, user.name), id);
  RC_ASSERT(std::ranges::equal(h.world.wireguard_keys, wireguard));
  RC_ASSERT(std::ranges::equal(h.world.device_keys, keys));
  RC_ASSERT(std::ranges::equal(h.world.user_ids, people));
}

RC_GTEST_PROP(Fold, KeepsWhatIsBehindAGatewayLikeIt, ()) {
  const auto h = some_history(80);
  std::map<Prefix, DeviceId> prefixes;
  std::map<DeviceId, std::set<DeviceId>> behind;
  for (const auto& [id, device] : h.world.devices) {
    if (!device.is_behind() || device.state == policy::DeviceState::removed) continue;
    const auto& gateway = h.world.devices.at(device.gateway);
    RC_ASSERT(!gateway.is_behind());
    RC_ASSERT(device.state == gateway.state);
    RC_ASSERT(device.gateway_isolated == gateway.isolated);
    behind[device.gateway].insert(id);
    for (const Prefix& prefix : device.prefixes) {
      for (const auto& [other, owner] : prefixes)
        RC_ASSERT(!other.contains(prefix.address) && !prefix.contains(other.address));
      prefixes.emplace(prefix, id);
    }
  }
  RC_ASSERT(std::ranges::equal(h.world.prefixes, prefixes));
  RC_ASSERT(std::ranges::equal(h.world.behind, behind));
}

RC_GTEST_PROP(Fold, NeverLeavesASessionThatMayNotBe, ()) {
  const auto h = some_history(60);
  for (const auto& [id, session] : h.world.sessions) {
    const auto& device = h.world.devices.at(session.device);
    RC_ASSERT(device.is_node() && !device.isolated);
    RC_ASSERT(!h.world.users.at(session.user).disabled);
  }
}

RC_GTEST_PROP(Fold, WhatIsPendingHasATimeAndWhatIsBackIsConfirmed, ()) {
  History h;
  h.add(installation());
  Revision confirmed;  // the reference: what was confirmed last
  for (int i = *rc::gen::inRange(1, 40); i > 0; --i) {
    const auto before = h.world.policy_revision;
    const int what = *rc::gen::inRange(0, 3);
    const Kind kind = what == 0   ? Kind(PolicyApplied{{}, h.now + Seconds(*rc::gen::inRange(2, 5)), "2025b"})
                      : what == 1 ? Kind(PolicyConfirmed{std::max(before, Revision(1))})
                                  : Kind(PolicyRolledBack{std::max(before, Revision(1)), ""});
    const bool was_pending = h.world.pending.has_value();
    const bool done = h.try_add(kind).has_value();
    if (done && what == 1) confirmed = before;
    RC_ASSERT(!done || was_pending == (what != 0));
    RC_ASSERT(h.world.pending.has_value() == (done ? what == 0 : was_pending));
    RC_ASSERT((h.world.pending ? h.world.pending->confirmed_revision : h.world.policy_revision) == confirmed);
  }
}

RC_GTEST_PROP(Fold, TakesAnyPayloadWithoutHarm, ()) {
  auto h = some_history(10);
  const auto before = describe(h.world);
  const auto& like = pick(h.records);
  Proposal proposal{.actor = "x", .kind = like.kind, .version = like.version, .payload = like.payload};
  for (int i = *rc::gen::inRange(1, 4); i > 0 && !proposal.payload.empty(); --i) {
    proposal.payload[*rc::gen::inRange<std::size_t>(0, proposal.payload.size())] =
        *rc::gen::arbitrary<char>();
  }
  const auto good = check(h.world, proposal, h.now + Seconds(1), system_time_zones());
  RC_ASSERT(describe(h.world) == before);
  const auto folded =
      apply(h.world, next_record(h.world, proposal, h.now + Seconds(1)), plain_name, system_time_zones());
  RC_ASSERT(folded.has_value() || describe(h.world) == before);
  RC_ASSERT(folded.has_value() || !good.has_value());
}

struct Export {
  std::vector<std::string> lines;   ///< each with its end
  std::vector<std::size_t> needed;  ///< lines that can't be left out: all but heads within the log
  wire::AuditOptions options;

  wire::AuditReport verify() const {
    std::string text;
    for (const auto& line : lines) text += line;
    return wire::verify_export(text, options);
  }
};

/// An export in batches of random size, and a checkpoint at its end.
Export some_export() {
  const auto h = some_history(15);
  Export out;
  wire::ExportWriter writer;
  const auto add = [&out](const std::string& lines) {
    for (std::size_t from = 0; from < lines.size();) {
      const auto end = lines.find('\n', from) + 1;
      out.lines.push_back(lines.substr(from, end - from));
      from = end;
    }
  };
  for (const auto& record : h.records) {
    add(writer.record(record));
    const bool is_last = &record == &h.records.back();
    if (is_last || *rc::gen::inRange(0, 3) == 0) add(writer.head(authority().sign(record)));
  }
  for (std::size_t i = 0; i < out.lines.size(); ++i) {
    if (!out.lines[i].starts_with("{\"head\"") || i + 1 == out.lines.size()) out.needed.push_back(i);
  }
  out.options = {.trust_bundle_pem = authority().root_pem,
                 .against = wire::Checkpoint{.revision = h.world.revision, .hash = h.world.head}};
  return out;
}

RC_GTEST_PROP(Chain, IsGoodAsItWasWritten, ()) {
  const auto exported = some_export();
  const auto report = exported.verify();
  RC_ASSERT(report.ok());
  RC_ASSERT(report.last == *exported.options.against);
}

RC_GTEST_PROP(Chain, AnyEditIsFound, ()) {
  auto exported = some_export();
  auto& line = exported.lines[*rc::gen::inRange<std::size_t>(0, exported.lines.size())];
  auto& byte = line[*rc::gen::inRange<std::size_t>(0, line.size() - 1)];
  const auto before = byte;
  byte = *rc::gen::suchThat(rc::gen::arbitrary<char>(), [before](char c) { return c != before; });
  RC_ASSERT(!exported.verify().ok());
}

RC_GTEST_PROP(Chain, AnyCutIsFound, ()) {
  auto exported = some_export();
  const auto at = static_cast<std::ptrdiff_t>(pick(exported.needed));
  const auto rest = static_cast<std::ptrdiff_t>(exported.lines.size()) - at;
  const auto count = *rc::gen::inRange<std::ptrdiff_t>(1, rest + 1);
  exported.lines.erase(exported.lines.begin() + at, exported.lines.begin() + at + count);
  RC_ASSERT(!exported.verify().ok());
}

RC_GTEST_PROP(Chain, AnyReorderIsFound, ()) {
  auto exported = some_export();
  const auto i = *rc::gen::inRange<std::size_t>(0, exported.lines.size() - 1);
  const auto j = *rc::gen::inRange(i + 1, exported.lines.size());
  // A signer told earlier than it must be changes no meaning.
  RC_PRE(!exported.lines[i].starts_with("{\"signer\"") && !exported.lines[j].starts_with("{\"signer\""));
  std::swap(exported.lines[i], exported.lines[j]);
  RC_ASSERT(!exported.verify().ok());
}

RC_GTEST_PROP(Chain, AnyForkIsFound, ()) {
  // Somebody with the signer's key writes another history after a point; the checkpoint tells.
  const auto h = some_history(10);
  const auto fork_at = *rc::gen::inRange<std::size_t>(1, h.records.size());
  wire::ExportWriter writer;
  std::string text;
  Record previous{};
  for (std::size_t i = 0; i < h.records.size(); ++i) {
    auto record = h.records[i];
    if (i >= fork_at) {
      record.actor = "somebody else";
      record.previous = previous.hash;
      record.hash = hash_of(record);
    }
    previous = record;
    text += writer.record(record);
  }
  text += writer.head(authority().sign(previous));
  RC_ASSERT(wire::verify_export(text, {.trust_bundle_pem = authority().root_pem}).ok());
  const wire::Checkpoint kept{.revision = h.world.revision, .hash = h.world.head};
  RC_ASSERT(!wire::verify_export(text, {.trust_bundle_pem = authority().root_pem, .against = kept}).ok());
}

}  // namespace
}  // namespace cordon::controller
