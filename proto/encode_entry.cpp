// Entries to the wire. What decode_entry() refuses can't be made from a well-formed key and value.

#include <algorithm>
#include <limits>
#include <variant>

#include "proto/codec.h"

namespace cordon::wire {
namespace {

/// An address that isn't there (Address{}) is left out.
std::string optional_address(const Address& address) {
  return address == Address{} ? std::string() : encode_address(address);
}

struct KeyEncoder {
  Entry& out;

  void operator()(const policy::SettingsKey&) { out.mutable_settings(); }
  void operator()(const policy::PeerKey& key) { out.mutable_peer()->set_device(key.device.value); }
  void operator()(const policy::PrincipalKey& key) {
    out.mutable_principal()->set_address(encode_address(key.address));
  }
  void operator()(const policy::TargetKey& key) {
    encode_prefix(key.prefix, out.mutable_target()->mutable_prefix());
  }
  void operator()(const policy::GrantKey& key) {
    Grant& grant = *out.mutable_grant();
    grant.set_direction(static_cast<std::uint32_t>(key.direction));
    grant.set_class_id(key.class_id.value);
    grant.set_target(key.target.value);
    grant.set_protocol(key.protocol);
    grant.set_port_bits(key.port_bits);
    grant.set_port(key.port);
  }
  void operator()(const policy::RuleKey& key) { out.mutable_rule()->set_id(key.rule.value); }
  void operator()(const policy::GuardKey& key) {
    Guard& guard = *out.mutable_guard();
    guard.set_protocol(key.protocol);
    guard.set_first_port(key.ports.first);
    guard.set_last_port(key.ports.last);
  }
  void operator()(const policy::LocalSessionKey& key) {
    out.mutable_local_session()->set_session(key.session.value);
  }
};

struct ValueEncoder {
  Entry& out;

  void operator()(const policy::SettingsValue& value) {
    Settings& settings = *out.mutable_settings();
    settings.set_device(value.device.value);
    settings.set_isolated(value.isolated);
    settings.set_node_lease_s(static_cast<std::uint32_t>(
        std::clamp<std::int64_t>(value.node_lease.count(), 0, std::numeric_limits<std::uint32_t>::max())));
    settings.set_v4(optional_address(value.v4));
    settings.set_v6(optional_address(value.v6));
    if (value.overlay_v4 != cordon::Prefix{}) encode_prefix(value.overlay_v4, settings.mutable_overlay_v4());
    if (value.overlay_v6 != cordon::Prefix{}) encode_prefix(value.overlay_v6, settings.mutable_overlay_v6());
    settings.set_underlay(static_cast<std::uint32_t>(value.underlay));
  }
  void operator()(const policy::PeerValue& value) {
    Peer& peer = *out.mutable_peer();
    peer.set_public_key(std::string(as_text(value.public_key)));
    for (const auto& prefix : value.allowed_ips) encode_prefix(prefix, peer.add_allowed_ips());
    if (value.next_key) peer.set_next_public_key(std::string(as_text(*value.next_key)));
  }
  void operator()(const policy::PrincipalValue& value) {
    Principal& principal = *out.mutable_principal();
    principal.set_class_id(value.class_id.value);
    principal.set_isolated(value.isolated);
    principal.set_uid(value.uid);
    principal.set_check_owner(value.check_owner);
    // Slots after the last one that ends are left out: most principals have none.
    std::size_t count = value.deadlines.size();
    while (count > 0 && value.deadlines[count - 1] == kNever) --count;
    for (std::size_t i = 0; i < count; ++i) principal.add_deadlines_us(to_us(value.deadlines[i]));
  }
  void operator()(const policy::TargetValue& value) {
    out.mutable_target()->set_id(value.id.value);
    out.mutable_target()->set_observe(value.observe);
  }
  void operator()(const policy::GrantValue& value) {
    Grant& grant = *out.mutable_grant();
    grant.set_rule(value.rule.value);
    grant.set_deny(value.deny);
    grant.set_responder(value.responder);
    grant.set_slot(value.slot);
    grant.set_lease_s(value.lease_s);
  }
  void operator()(const policy::RuleValue& value) { out.mutable_rule()->set_name(value.name); }
  void operator()(const policy::GuardValue& value) { out.mutable_guard()->set_count_only(value.count_only); }
  void operator()(const policy::LocalSessionValue& value) {
    LocalSession& session = *out.mutable_local_session();
    session.set_user(value.user);
    session.set_uid(value.uid);
    session.set_v4(optional_address(value.v4));
    session.set_v6(optional_address(value.v6));
    session.set_ends_at_us(to_us(value.ends_at));
  }
};

}  // namespace

void encode_prefix(const cordon::Prefix& prefix, Prefix* out) {
  out->set_address(encode_address(prefix.address));
  out->set_length(prefix.length());
}

Entry encode_entry(const policy::Key& key, const policy::Value* value) {
  Entry out;
  std::visit(KeyEncoder{out}, key);
  if (value != nullptr) std::visit(ValueEncoder{out}, *value);
  return out;
}

}  // namespace cordon::wire
