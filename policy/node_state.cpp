#include "policy/node_state.h"

#include <algorithm>
#include <type_traits>

// Canonical bytes of an entry. Integers are big-endian, addresses 16 bytes (IPv4 mapped), text and lists
// carry a 4-byte length or count, times are microseconds of UTC (kNever: the largest), flags are one byte.
//
// clang-format off
//   entry     = kind(u8, the key's index in Key + 1) key kind(u8, the value's index in Value + 1) value
//   prefix    = address bits(u8)
//   settings  = () -> device isolated node_lease_s(u64) v4 v6 overlay_v4(prefix) overlay_v6(prefix) underlay(u8)
//   peer      = device -> public_key(32) count(u32) prefix* [next_key(32)]
//   principal = address -> class(u64) isolated uid(u32) check_owner deadline(u64)*8
//   target    = prefix -> id(u32) observe
//   grant     = direction(u8) class(u64) target(u32) protocol(u8) port_bits(u8) port(u16)
//               -> rule(u32) deny responder slot(u8) lease_s(u32)
//   rule      = rule(u32) -> name
//   guard     = protocol(u8) first(u16) last(u16) -> count_only
//   session   = session -> user uid(u32) v4 v6 ends_at(u64)
// clang-format on
//
// A digest is signed in receipts: this grammar is part of the wire and only grows by new kinds, and by fields
// at an entry's end that are left out where they say nothing.

namespace cordon::policy {
namespace {

/// Appends one entry's fields.
class Writer {
 public:
  explicit Writer(Bytes& out) : out_(out) {}

  void operator()(const SettingsKey&) {}
  void operator()(const PeerKey& k) { put_sized(out_, k.device.value); }
  void operator()(const PrincipalKey& k) { address(k.address); }
  void operator()(const TargetKey& k) { prefix(k.prefix); }
  void operator()(const GrantKey& k) {
    put_u8(out_, static_cast<std::uint8_t>(k.direction));
    put_u64(out_, k.class_id.value);
    put_u32(out_, k.target.value);
    put_u8(out_, k.protocol);
    put_u8(out_, k.port_bits);
    put_u16(out_, k.port);
  }
  void operator()(const RuleKey& k) { put_u32(out_, k.rule.value); }
  void operator()(const GuardKey& k) {
    put_u8(out_, k.protocol);
    put_u16(out_, k.ports.first);
    put_u16(out_, k.ports.last);
  }
  void operator()(const LocalSessionKey& k) { put_sized(out_, k.session.value); }

  void operator()(const SettingsValue& v) {
    put_sized(out_, v.device.value);
    flag(v.isolated);
    put_u64(out_, static_cast<std::uint64_t>(v.node_lease.count()));
    address(v.v4);
    address(v.v6);
    prefix(v.overlay_v4);
    prefix(v.overlay_v6);
    put_u8(out_, static_cast<std::uint8_t>(v.underlay));
  }
  void operator()(const PeerValue& v) {
    raw(v.public_key);
    put_u32(out_, static_cast<std::uint32_t>(v.allowed_ips.size()));
    for (const Prefix& p : v.allowed_ips) prefix(p);
    if (v.next_key) raw(*v.next_key);
  }
  void operator()(const PrincipalValue& v) {
    put_u64(out_, v.class_id.value);
    flag(v.isolated);
    put_u32(out_, v.uid);
    flag(v.check_owner);
    for (const Timestamp deadline : v.deadlines) time(deadline);
  }
  void operator()(const TargetValue& v) {
    put_u32(out_, v.id.value);
    flag(v.observe);
  }
  void operator()(const GrantValue& v) {
    put_u32(out_, v.rule.value);
    flag(v.deny);
    flag(v.responder);
    put_u8(out_, v.slot);
    put_u32(out_, v.lease_s);
  }
  void operator()(const RuleValue& v) { put_sized(out_, v.name); }
  void operator()(const GuardValue& v) { flag(v.count_only); }
  void operator()(const LocalSessionValue& v) {
    put_sized(out_, v.user);
    put_u32(out_, v.uid);
    address(v.v4);
    address(v.v6);
    time(v.ends_at);
  }

 private:
  void raw(ByteView bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  void flag(bool v) { put_u8(out_, v ? 1 : 0); }
  void address(const Address& a) { raw(a.bytes); }
  void prefix(const Prefix& p) {
    address(p.address);
    put_u8(out_, p.bits);
  }
  void time(Timestamp t) { put_u64(out_, static_cast<std::uint64_t>(to_us(t))); }

  Bytes& out_;
};

bool loses(const SettingsValue& was, SettingsValue is) {
  if (is.isolated > was.isolated || is.node_lease < was.node_lease || is.underlay > was.underlay) return true;
  is.isolated = was.isolated;
  is.node_lease = was.node_lease;
  is.underlay = was.underlay;
  return is != was;
}

bool loses(const PeerValue& was, const PeerValue& is) {
  return is.public_key != was.public_key || !std::ranges::includes(is.allowed_ips, was.allowed_ips);
}

bool loses(const PrincipalValue& was, const PrincipalValue& is) {
  // What another class holds can't be told from here: a move counts, unless there was nothing to lose.
  if (is.class_id != was.class_id && was.class_id != ClassId{0}) return true;
  if (is.isolated > was.isolated || is.check_owner > was.check_owner) return true;
  if (is.check_owner && is.uid != was.uid) return true;
  for (std::size_t i = 0; i < kDeadlineSlots; ++i)
    if (is.deadlines[i] < was.deadlines[i]) return true;
  return false;
}

bool loses(const TargetValue& was, const TargetValue& is) {
  return is.id != was.id || is.observe < was.observe;
}

bool loses(const GrantValue& was, const GrantValue& is) {
  if (was.deny) return false;
  return is.deny || is.responder < was.responder || is.slot != was.slot || is.lease_s < was.lease_s;
}

bool loses(const RuleValue&, const RuleValue&) {
  return false;
}
bool loses(const GuardValue& was, const GuardValue& is) {
  return is.count_only < was.count_only;
}
bool loses(const LocalSessionValue& was, const LocalSessionValue& is) {
  return is.user != was.user || is.uid != was.uid || is.v4 != was.v4 || is.v6 != was.v6 ||
         is.ends_at < was.ends_at;
}

/// Does an entry that wasn't there stop something?
bool appears_to_stop(const Value& value) {
  if (const auto* grant = std::get_if<GrantValue>(&value)) return grant->deny;
  if (const auto* guard = std::get_if<GuardValue>(&value)) return !guard->count_only;
  if (const auto* settings = std::get_if<SettingsValue>(&value)) return settings->isolated;
  return false;
}

/// Does an entry that goes leave something stopped that wasn't?
bool goes_to_stop(const Value& value) {
  if (const auto* grant = std::get_if<GrantValue>(&value)) return !grant->deny;
  return !std::holds_alternative<GuardValue>(value) && !std::holds_alternative<RuleValue>(value);
}

}  // namespace

const SettingsValue* NodeState::settings() const {
  const auto it = entries.find(SettingsKey{});
  return it == entries.end() ? nullptr : std::get_if<SettingsValue>(&it->second);
}

std::vector<Change> difference(const NodeState& from, const NodeState& to) {
  std::vector<Change> removals;
  std::vector<Change> upserts;
  auto a = from.entries.begin();
  auto b = to.entries.begin();
  while (a != from.entries.end() || b != to.entries.end()) {
    if (b == to.entries.end() || (a != from.entries.end() && a->first < b->first)) {
      removals.push_back({.key = a->first, .value = std::nullopt});
      ++a;
    } else if (a == from.entries.end() || b->first < a->first) {
      upserts.push_back({.key = b->first, .value = b->second});
      ++b;
    } else {
      if (a->second != b->second) upserts.push_back({.key = b->first, .value = b->second});
      ++a;
      ++b;
    }
  }
  removals.insert(removals.end(), std::make_move_iterator(upserts.begin()),
                  std::make_move_iterator(upserts.end()));
  return removals;
}

void apply(NodeState& state, const std::vector<Change>& changes) {
  for (const Change& change : changes) {
    if (change.value)
      state.entries.insert_or_assign(change.key, *change.value);
    else
      state.entries.erase(change.key);
  }
}

bool takes_away(const Value* old, const Change& change) {
  if (!change.value) return old != nullptr && goes_to_stop(*old);
  if (old == nullptr) return appears_to_stop(*change.value);
  return std::visit(
      [](const auto& was, const auto& is) {
        if constexpr (std::is_same_v<decltype(was), decltype(is)>)
          return loses(was, is);
        else
          return true;  // a key never changes its kind of value
      },
      *old, *change.value);
}

bool narrows(const NodeState& before, const Change& change) {
  const auto* added = std::get_if<TargetKey>(&change.key);
  if (added == nullptr || !change.value || before.entries.contains(change.key)) return false;
  const Address& address = added->prefix.address;
  // In the order of keys what lies between a prefix and another inside it lies inside it as well. So where
  // the last key before doesn't hold the address, one that does is no longer than what they have in common.
  for (TargetKey at = *added;;) {
    auto found = before.entries.lower_bound(at);
    if (found == before.entries.begin()) return false;
    const auto* wider = std::get_if<TargetKey>(&(--found)->first);
    if (wider == nullptr) return false;
    if (wider->prefix.contains(address)) return true;
    std::uint8_t common = 0;
    const auto bit = [](const Address& of, unsigned i) { return of.bytes[i / 8] >> (7 - i % 8) & 1; };
    while (common < at.prefix.bits && bit(wider->prefix.address, common) == bit(address, common)) ++common;
    Address start = address;
    for (unsigned i = common; i < 128; ++i)
      start.bytes[i / 8] = static_cast<std::uint8_t>(start.bytes[i / 8] & ~(0x80 >> i % 8));
    at = TargetKey{{.address = start, .bits = static_cast<std::uint8_t>(common + 1)}};
  }
}

Bytes encode(const Key& key, const Value& value) {
  Bytes out;
  out.reserve(128);  // most entries
  put_u8(out, static_cast<std::uint8_t>(key.index() + 1));
  std::visit(Writer{out}, key);
  put_u8(out, static_cast<std::uint8_t>(value.index() + 1));
  std::visit(Writer{out}, value);
  return out;
}

SetDigest digest(const NodeState& state) {
  SetDigest sum;
  for (const auto& [key, value] : state.entries) sum.add(encode(key, value));
  return sum;
}

}  // namespace cordon::policy
