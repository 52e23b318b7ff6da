#include <algorithm>
#include <optional>

#include "policy/compile.h"

namespace cordon::policy {
namespace {

template <class Value>
const Value* find_value(const NodeState& state, const Key& key) {
  const auto it = state.entries.find(key);
  return it == state.entries.end() ? nullptr : std::get_if<Value>(&it->second);
}

/// The longest prefix that contains the address.
const TargetValue* find_target(const NodeState& state, const Address& address) {
  for (int length = address.is_v4() ? 32 : 128; length >= 0; --length)
    if (const auto* target =
            find_value<TargetValue>(state, TargetKey{Prefix::of(address, static_cast<unsigned>(length))}))
      return target;
  return nullptr;
}

std::uint16_t leading(std::uint16_t port, unsigned bits) {
  return bits == 0 ? 0 : static_cast<std::uint16_t>(port & (0xffffu << (16 - bits)));
}

/// Entries in the kernel's order: exact port, the longest port prefix, any port, any protocol.
std::vector<const GrantValue*> candidates(const NodeState& state, GrantKey key, std::uint16_t port) {
  std::vector<const GrantValue*> out;
  const auto at = [&](unsigned bits) {
    key.port_bits = static_cast<std::uint8_t>(bits);
    key.port = leading(port, bits);
    const auto* grant = find_value<GrantValue>(state, key);
    if (grant) out.push_back(grant);
    return grant != nullptr;
  };
  at(16);
  for (unsigned bits = 15; bits >= 1; --bits)
    if (at(bits)) break;
  at(0);
  key.protocol = 0;
  at(0);
  return out;
}

}  // namespace

PacketVerdict look_up(const NodeState& state, Direction direction, const Address& source,
                      const Address& destination, std::uint8_t protocol, std::uint16_t port, Timestamp at) {
  PacketVerdict verdict;
  const auto* principal = find_value<PrincipalValue>(state, PrincipalKey{source});
  const auto* target = find_target(state, destination);
  if (!principal || principal->isolated || !target) return verdict;
  verdict.observed = target->observe;
  const bool over = std::ranges::all_of(principal->deadlines, [&](Timestamp end) { return at >= end; });
  const bool passes_without = target->observe && !over;
  const bool isolated = state.settings() && state.settings()->isolated;
  bool passed_over = false;  // by isolation: more lacks than a grant
  const GrantKey key{
      .direction = direction, .class_id = principal->class_id, .target = target->id, .protocol = protocol};
  for (const GrantValue* grant : candidates(state, key, port)) {
    if (grant->deny) {
      verdict.rule = grant->rule;
      verdict.passes = passes_without;
      return verdict;
    }
    const Timestamp ends = principal->deadlines[grant->slot];
    if (isolated && !grant->responder) {
      passed_over = true;
      continue;
    }
    if (at >= ends) return verdict;  // a wider entry doesn't know what ended this one
    verdict.accept = verdict.passes = true;
    verdict.rule = grant->rule;
    verdict.deadline = std::min(ends, at + Seconds(grant->lease_s));
    return verdict;
  }
  verdict.passes = passes_without && !passed_over;
  return verdict;
}

}  // namespace cordon::policy
