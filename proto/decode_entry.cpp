// Entries from the wire, by the rules of PROTOCOL.md, "Entries".

#include <fmt/format.h>

#include <algorithm>

#include "proto/checks.h"
#include "proto/codec.h"

namespace cordon::wire {
namespace {

/// An address of that family, or Address{} when it was left out.
Result<Address> optional_address(std::string_view field, std::string_view bytes, std::size_t family_bytes) {
  if (bytes.empty()) return Address{};
  CORDON_TRY(check_bytes(field, bytes, family_bytes));
  return decode_address(bytes);
}

Result<cordon::Prefix> optional_prefix(std::string_view field, bool present, const Prefix& prefix, bool v4) {
  if (!present) return cordon::Prefix{};
  CORDON_ASSIGN(const auto out, decode_prefix(prefix));
  if (out.address.is_v4() != v4) return refuse(field, "is of the wrong family");
  return out;
}

/// What a later release added may narrow what the entry grants: without it, it isn't enforced at all.
template <class Message>
bool has_unknown_fields(const Message& message) {
  return !message.GetReflection()->GetUnknownFields(message).empty();
}

Result<policy::Key> decode_key(const Settings&) {
  return policy::SettingsKey{};
}

Result<policy::Value> decode_value(const Settings& m) {
  policy::SettingsValue out;
  CORDON_TRY(check_device("settings device", m.device()));
  if (m.node_lease_s() == 0) return refuse("settings node_lease_s", "is 0");
  CORDON_TRY(
      check_most("settings underlay", m.underlay(), static_cast<std::uint64_t>(policy::Underlay::closed)));
  out.device = DeviceId(m.device());
  out.isolated = m.isolated();
  out.node_lease = Seconds(m.node_lease_s());
  CORDON_ASSIGN(out.v4, optional_address("settings v4", m.v4(), 4));
  CORDON_ASSIGN(out.v6, optional_address("settings v6", m.v6(), 16));
  CORDON_ASSIGN(out.overlay_v4,
                optional_prefix("settings overlay_v4", m.has_overlay_v4(), m.overlay_v4(), true));
  CORDON_ASSIGN(out.overlay_v6,
                optional_prefix("settings overlay_v6", m.has_overlay_v6(), m.overlay_v6(), false));
  out.underlay = static_cast<policy::Underlay>(m.underlay());
  return out;
}

Result<policy::Key> decode_key(const Peer& m) {
  CORDON_TRY(check_device("peer device", m.device()));
  return policy::PeerKey{DeviceId(m.device())};
}

Result<policy::Value> decode_value(const Peer& m) {
  policy::PeerValue out;
  CORDON_TRY(check_bytes("peer public_key", m.public_key(), kKeyBytes));
  std::ranges::copy(as_bytes(m.public_key()), out.public_key.begin());
  for (const auto& prefix : m.allowed_ips()) {
    if (has_unknown_fields(prefix)) return refuse("a prefix", "has fields that this release doesn't know");
    CORDON_ASSIGN(auto decoded, decode_prefix(prefix));
    if (!out.allowed_ips.empty() && !(out.allowed_ips.back() < decoded)) {
      return refuse("peer allowed_ips", "are not sorted and unique");
    }
    out.allowed_ips.push_back(decoded);
  }
  CORDON_TRY(check_optional_bytes("peer next_public_key", m.next_public_key(), kKeyBytes));
  if (!m.next_public_key().empty()) {
    std::ranges::copy(as_bytes(m.next_public_key()), out.next_key.emplace().begin());
    if (out.next_key == out.public_key) return refuse("peer next_public_key", "is the key it has");
  }
  return out;
}

Result<policy::Key> decode_key(const Principal& m) {
  CORDON_ASSIGN(const Address address, decode_address(m.address()));
  return policy::PrincipalKey{address};
}

Result<policy::Value> decode_value(const Principal& m) {
  policy::PrincipalValue out;
  out.class_id = ClassId(m.class_id());
  out.isolated = m.isolated();
  out.uid = m.uid();
  out.check_owner = m.check_owner();
  CORDON_TRY(check_count("principal deadlines_us", m.deadlines_us_size(), out.deadlines.size()));
  for (int i = 0; i < m.deadlines_us_size(); ++i) {
    out.deadlines[static_cast<std::size_t>(i)] = from_us(m.deadlines_us(i));
  }
  return out;
}

Result<policy::Key> decode_key(const Target& m) {
  CORDON_ASSIGN(const auto prefix, decode_prefix(m.prefix()));
  return policy::TargetKey{prefix};
}

Result<policy::Value> decode_value(const Target& m) {
  if (m.id() == 0) return refuse("target id", "is 0");
  return policy::TargetValue{.id = TargetId(m.id()), .observe = m.observe()};
}

Result<policy::Key> decode_key(const Grant& m) {
  CORDON_TRY(check_most("grant direction", m.direction(), 1));
  if (m.class_id() == 0) return refuse("grant class_id", "is 0");
  if (m.target() == 0) return refuse("grant target", "is 0");
  CORDON_TRY(check_most("grant protocol", m.protocol(), 255));
  CORDON_TRY(check_most("grant port_bits", m.port_bits(), 16));
  CORDON_TRY(check_most("grant port", m.port(), 65535));
  if (m.protocol() == 0 && m.port_bits() != 0) return refuse("grant port_bits", "is not 0 for any protocol");
  if ((m.port() & (0xffffu >> m.port_bits())) != 0)
    return refuse("grant port", "has bits set past port_bits");
  return policy::GrantKey{.direction = static_cast<policy::Direction>(m.direction()),
                          .class_id = ClassId(m.class_id()),
                          .target = TargetId(m.target()),
                          .protocol = static_cast<std::uint8_t>(m.protocol()),
                          .port_bits = static_cast<std::uint8_t>(m.port_bits()),
                          .port = static_cast<std::uint16_t>(m.port())};
}

Result<policy::Value> decode_value(const Grant& m) {
  CORDON_TRY(check_most("grant slot", m.slot(), policy::kDeadlineSlots - 1));
  if (m.lease_s() == 0 && !m.deny()) return refuse("grant lease_s", "is 0");
  return policy::GrantValue{.rule = RuleId(m.rule()),
                            .deny = m.deny(),
                            .responder = m.responder(),
                            .slot = static_cast<std::uint8_t>(m.slot()),
                            .lease_s = m.lease_s()};
}

Result<policy::Key> decode_key(const Rule& m) {
  if (m.id() == 0) return refuse("rule id", "is 0");
  return policy::RuleKey{RuleId(m.id())};
}

Result<policy::Value> decode_value(const Rule& m) {
  CORDON_TRY(check_name("rule name", m.name(), kLongestName));
  return policy::RuleValue{m.name()};
}

Result<policy::Key> decode_key(const Guard& m) {
  CORDON_TRY(check_most("guard protocol", m.protocol(), 255));
  CORDON_TRY(check_most("guard last_port", m.last_port(), 65535));
  if (m.first_port() > m.last_port()) return refuse("guard first_port", "is above last_port");
  return policy::GuardKey{.protocol = static_cast<std::uint8_t>(m.protocol()),
                          .ports = {.first = static_cast<std::uint16_t>(m.first_port()),
                                    .last = static_cast<std::uint16_t>(m.last_port())}};
}

Result<policy::Value> decode_value(const Guard& m) {
  return policy::GuardValue{.count_only = m.count_only()};
}

Result<policy::Key> decode_key(const LocalSession& m) {
  CORDON_TRY(check_name("session id", m.session(), kLongestId));
  return policy::LocalSessionKey{SessionId(m.session())};
}

Result<policy::Value> decode_value(const LocalSession& m) {
  policy::LocalSessionValue out;
  CORDON_TRY(check_name("session user", m.user(), kLongestName));
  out.user = m.user();
  out.uid = m.uid();
  CORDON_ASSIGN(out.v4, optional_address("session v4", m.v4(), 4));
  CORDON_ASSIGN(out.v6, optional_address("session v6", m.v6(), 16));
  out.ends_at = from_us(m.ends_at_us());
  return out;
}

template <class Body>
Result<policy::Change> decode_body(const Body& body, bool key_only) {
  if (has_unknown_fields(body)) return refuse("an entry", "has fields that this release doesn't know");
  Result<policy::Change> out;
  CORDON_ASSIGN(out->key, decode_key(body));
  if (!key_only) {
    CORDON_ASSIGN(out->value, decode_value(body));
  }
  return out;
}

}  // namespace

Result<cordon::Prefix> decode_prefix(const Prefix& prefix) {
  CORDON_ASSIGN(const Address address, decode_address(prefix.address()));
  CORDON_TRY(check_most("a prefix's length", prefix.length(), address.is_v4() ? 32 : 128));
  const auto out = cordon::Prefix::of(address, prefix.length());
  if (out.address != address) return refuse("a prefix", "has bits set past its length");
  return out;
}

Result<policy::Change> decode_entry(const Entry& entry, bool key_only) {
  if (has_unknown_fields(entry)) return refuse("an entry", "has fields that this release doesn't know");
  switch (entry.body_case()) {
    case Entry::kSettings:
      return decode_body(entry.settings(), key_only);
    case Entry::kPeer:
      return decode_body(entry.peer(), key_only);
    case Entry::kPrincipal:
      return decode_body(entry.principal(), key_only);
    case Entry::kTarget:
      return decode_body(entry.target(), key_only);
    case Entry::kGrant:
      return decode_body(entry.grant(), key_only);
    case Entry::kRule:
      return decode_body(entry.rule(), key_only);
    case Entry::kGuard:
      return decode_body(entry.guard(), key_only);
    case Entry::kLocalSession:
      return decode_body(entry.local_session(), key_only);
    case Entry::BODY_NOT_SET:
      break;
  }
  return refuse("an entry", "is of no kind that this release knows");
}

}  // namespace cordon::wire
