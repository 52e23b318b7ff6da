#include "node/filter/image.h"

#include <algorithm>

#include "node/filter/guards.h"
#include "node/filter/people.h"

namespace cordon::node {
namespace {

template <class K, class V>
Rows shape_of() {
  return Rows{.key_size = sizeof(K), .value_size = sizeof(V), .keys = {}, .values = {}};
}

cordon_prefix prefix_to_abi(const Prefix& prefix) {
  if (prefix.address.is_unspecified()) return {};
  Address network, mask;
  for (unsigned bit = 0; bit < prefix.bits; ++bit) {
    const auto here = static_cast<std::uint8_t>(0x80 >> bit % 8);
    mask.bytes[bit / 8] |= here;
    network.bytes[bit / 8] |= prefix.address.bytes[bit / 8] & here;
  }
  return {.network = to_abi(network), .mask = to_abi(mask)};
}

void add_principal(Image& image, const policy::PrincipalKey& key, const policy::PrincipalValue& value,
                   const TimeBase& base) {
  static_assert(policy::kDeadlineSlots == CORDON_DEADLINE_SLOTS);
  cordon_principal row{};
  cordon_principal_side& out = row.now;
  out.class_id = value.class_id.value;
  for (std::size_t i = 0; i < policy::kDeadlineSlots; ++i)
    out.deadline_ns[i] = base.to_boot(value.deadlines[i]);
  out.flags = (value.isolated ? CORDON_PRINCIPAL_ISOLATED : 0) |
              (value.check_owner ? CORDON_PRINCIPAL_CHECK_OWNER : 0);
  out.uid = value.uid;
  image[Table::principals].add(to_abi(key.address), row);
}

cordon_range_key range_key(const policy::GrantKey& key) {
  cordon_range_key out{};
  out.prefix_bits = CORDON_RANGE_FIXED_BITS + key.port_bits;
  std::memcpy(out.class_id, &key.class_id.value, sizeof out.class_id);
  std::memcpy(out.target, &key.target.value, sizeof out.target);
  out.direction = static_cast<std::uint8_t>(key.direction);
  out.protocol = key.protocol;
  out.port[0] = static_cast<std::uint8_t>(key.port >> 8);
  out.port[1] = static_cast<std::uint8_t>(key.port);
  return out;
}

cordon_grant_key grant_key(const policy::GrantKey& key) {
  const auto form = key.port_bits == 16 ? CORDON_FORM_EXACT
                    : key.protocol != 0 ? CORDON_FORM_ANY_PORT
                                        : CORDON_FORM_ANY_PROTOCOL;
  cordon_grant_key out{};
  out.class_id = key.class_id.value;
  out.target = key.target.value;
  out.port = key.port_bits == 16 ? key.port : std::uint16_t{0};
  out.protocol = key.protocol;
  out.form_direction = static_cast<std::uint8_t>(form | static_cast<int>(key.direction));
  return out;
}

void add_grant(Image& image, const policy::GrantKey& key, const policy::GrantValue& value) {
  cordon_grant out{};
  out.rule = value.rule.value;
  out.lease_s = value.lease_s;
  out.slot = value.slot;
  out.flags = (value.deny ? CORDON_GRANT_DENY : 0) | (value.responder ? CORDON_GRANT_RESPONDER : 0);
  if (key.port_bits == 0 || key.port_bits == 16)
    image[Table::grants].add(grant_key(key), out);
  else
    image[Table::ranges].add(range_key(key), out);
}

/// With id 0: so that a destination in the overlay that nobody owns is known to be ours.
void add_overlay(Image& image, const Prefix& prefix) {
  if (prefix.address.is_unspecified()) return;
  image[Table::targets].add(target_key(prefix), cordon_target{});
}

}  // namespace

const char* map_name(Table table) {
  switch (table) {
    case Table::grants:
      return "grants";
    case Table::ranges:
      return "grant_ranges";
    case Table::targets:
      return "targets";
    case Table::principals:
      return "principals";
    case Table::people:
      return "people";
    case Table::guards:
      return "underlay_guards";
    case Table::allow:
      return "underlay_allow";
  }
  return "";
}

cordon_address to_abi(const Address& address) {
  cordon_address out;
  static_assert(sizeof out == sizeof address.bytes);
  std::memcpy(&out, address.bytes.data(), sizeof out);
  return out;
}

cordon_target_key target_key(const Prefix& prefix) {
  cordon_target_key key{};
  key.prefix_bits = prefix.bits;
  std::copy(prefix.address.bytes.begin(), prefix.address.bytes.end(), key.address);
  return key;
}

Address from_abi(const cordon_address& address) {
  Address out;
  std::memcpy(out.bytes.data(), &address, sizeof address);
  return out;
}

Image empty_image() {
  Image image;
  image[Table::grants] = shape_of<cordon_grant_key, cordon_grant>();
  image[Table::ranges] = shape_of<cordon_range_key, cordon_grant>();
  image[Table::targets] = shape_of<cordon_target_key, cordon_target>();
  image[Table::principals] = shape_of<cordon_address, cordon_principal>();
  image[Table::people] = shape_of<cordon_person_key, cordon_person>();
  image[Table::guards] = shape_of<cordon_guard_key, cordon_guard>();
  image[Table::allow] = shape_of<cordon_target_key, cordon_allow>();
  return image;
}

void add_entry(Image& image, const policy::Key& key, const policy::Value& value, const TimeBase& base) {
  if (const auto* principal = std::get_if<policy::PrincipalKey>(&key)) {
    add_principal(image, *principal, std::get<policy::PrincipalValue>(value), base);
  } else if (const auto* target = std::get_if<policy::TargetKey>(&key)) {
    const auto& v = std::get<policy::TargetValue>(value);
    cordon_target row{};
    row.now = {.id = v.id.value, .flags = v.observe ? CORDON_TARGET_OBSERVE : 0};
    image[Table::targets].add(target_key(target->prefix), row);
  } else if (const auto* grant = std::get_if<policy::GrantKey>(&key)) {
    add_grant(image, *grant, std::get<policy::GrantValue>(value));
  } else if (std::holds_alternative<policy::SettingsKey>(key)) {
    const auto& settings = std::get<policy::SettingsValue>(value);
    add_overlay(image, settings.overlay_v4);
    add_overlay(image, settings.overlay_v6);
  }
}

void add_guards(Image& image, const policy::NodeState& state) {
  for (const GuardPrefix& guard : guard_prefixes(state)) {
    cordon_guard_key key{};
    key.prefix_bits = 16u + guard.port_bits;
    key.protocol = guard.protocol;
    key.port[0] = static_cast<std::uint8_t>(guard.port >> 8);
    key.port[1] = static_cast<std::uint8_t>(guard.port);
    image[Table::guards].add(key, cordon_guard{.flags = guard.count_only ? CORDON_GUARD_COUNT_ONLY : 0});
  }
}

void add_allow(Image& image, const ImageConfig& config) {
  for (const Prefix& prefix : config.underlay_allow)
    image[Table::allow].add(target_key(prefix), cordon_allow{});
}

void make_unique(Image& image) {
  for (Rows& rows : image.tables) rows.make_unique();
}

Image make_image(const policy::NodeState& state, const TimeBase& base, const ImageConfig& config) {
  Image image = empty_image();
  image[Table::grants].reserve(state.entries.size());  // most of them
  for (const auto& [key, value] : state.entries) add_entry(image, key, value, base);
  add_people(image, state, config.people);
  add_guards(image, state);
  add_allow(image, config);
  // Of grants, ranges and principals different keys of a state are different rows.
  for (const Table table : {Table::targets, Table::people, Table::guards, Table::allow})
    image[table].make_unique();
  return image;
}

namespace {

/// What can't be read is dropped only where something else would be.
cordon_underlay_mode underlay_mode(const policy::NodeState& state, const policy::SettingsValue& settings) {
  if (settings.isolated) return CORDON_UNDERLAY_CONTAINED;
  if (settings.underlay == policy::Underlay::closed) return CORDON_UNDERLAY_CLOSED;
  auto mode = CORDON_UNDERLAY_OFF;
  for (auto it = state.entries.lower_bound(policy::GuardKey{.protocol = 0, .ports = {0, 0}});
       it != state.entries.end() && std::holds_alternative<policy::GuardKey>(it->first); ++it) {
    if (!std::get<policy::GuardValue>(it->second).count_only) return CORDON_UNDERLAY_GUARD;
    mode = CORDON_UNDERLAY_COUNT;
  }
  return mode;
}

int strictness(__u8 mode) {
  switch (mode) {
    case CORDON_UNDERLAY_COUNT:
      return 1;
    case CORDON_UNDERLAY_GUARD:
      return 2;
    case CORDON_UNDERLAY_CLOSED:
      return 3;
    case CORDON_UNDERLAY_CONTAINED:
      return 4;
    default:
      return 0;
  }
}

bool is_none(const cordon_prefix& prefix) {
  return (prefix.mask.word[0] | prefix.mask.word[1]) == 0;
}

bool is_in(const cordon_prefix& prefix, const Address& address) {
  const cordon_address asked = to_abi(address);
  return !is_none(prefix) && (asked.word[0] & prefix.mask.word[0]) == prefix.network.word[0] &&
         (asked.word[1] & prefix.mask.word[1]) == prefix.network.word[1];
}

}  // namespace

__u8 stricter_of(__u8 a, __u8 b) {
  return strictness(a) > strictness(b) ? a : b;
}

bool guards_anything(const cordon_host& host) {
  return host.underlay_mode != CORDON_UNDERLAY_OFF || !is_none(host.overlay_v4) || !is_none(host.overlay_v6);
}

bool meets_any(const cordon_host& host, const std::vector<Prefix>& networks,
               const std::vector<Endpoint>& controllers) {
  for (const cordon_prefix& overlay : {host.overlay_v4, host.overlay_v6}) {
    if (is_none(overlay)) continue;
    for (const Prefix& network : networks)
      if (is_in(overlay, network.address) || network.contains(from_abi(overlay.network))) return true;
    for (const Endpoint& controller : controllers)
      if (is_in(overlay, controller.address)) return true;
  }
  return false;
}

HostImage make_host(const policy::NodeState& state, std::uint16_t wireguard_port,
                    std::uint64_t netns_cookie) {
  HostImage image;
  image.host.wireguard_port = wireguard_port;
  image.host.netns_cookie = netns_cookie;
  const policy::SettingsValue* settings = state.settings();
  if (settings == nullptr) return image;
  image.flags = CORDON_SETTINGS_READY | (settings->isolated ? CORDON_SETTINGS_ISOLATED : 0);
  image.node_lease_ns = static_cast<std::uint64_t>(std::chrono::nanoseconds(settings->node_lease).count());
  image.host.underlay_mode = underlay_mode(state, *settings);
  image.host.local_v4 = to_abi(settings->v4);
  image.host.local_v6 = to_abi(settings->v6);
  image.host.overlay_v4 = prefix_to_abi(settings->overlay_v4);
  image.host.overlay_v6 = prefix_to_abi(settings->overlay_v6);
  return image;
}

}  // namespace cordon::node
