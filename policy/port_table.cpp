#include "policy/port_table.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace cordon::policy {
namespace {

/// What decides a run of ports: nothing when no allow covers it.
using Decided = std::optional<GrantValue>;

/// Some ports of one protocol (none: what has no entry of its own) that every offer covers whole or not at
/// all.
struct Region {
  std::optional<std::uint8_t> protocol;
  std::uint32_t first = 0, end = 65536;

  bool covered_by(const Offer& offer) const {
    return std::ranges::any_of(offer.accesses, [&](const Access& access) {
      if (!access.protocol) return true;
      return protocol == access.protocol && access.ports.first <= first && end <= access.ports.last + 1u;
    });
  }
};

/// A forbid that begins later ends the allows it covers at that moment; those that would have lasted longer
/// are equal then, and the lowest name is told (P7).
struct Cut {
  std::uint32_t ties = 0;
  std::uint8_t slot = kDeadlineSlots - 1;
};

Decided decide(const std::vector<Offer>& allows, const std::vector<Offer>& forbids, const Region& region) {
  std::optional<Cut> cut;
  for (const Offer& forbid : forbids) {
    if (!region.covered_by(forbid)) continue;
    if (forbid.holds) return forbid.value;
    if (!cut) cut.emplace();
    cut->ties = std::max(cut->ties, forbid.ties);
    cut->slot = std::min(cut->slot, forbid.value.slot);
  }
  const Offer* best = nullptr;
  for (std::uint32_t i = 0; i < allows.size(); ++i) {
    if (best && !(cut && i < cut->ties)) break;
    if (!region.covered_by(allows[i])) continue;
    if (!best || allows[i].name < best->name) best = &allows[i];
  }
  if (!best) return std::nullopt;
  GrantValue value = best->value;
  if (cut) value.slot = std::min(value.slot, cut->slot);
  return value;
}

/// Where what covers a port may change, 0 and 65536 among them.
std::vector<std::uint32_t> edges(const std::vector<Offer>& allows, const std::vector<Offer>& forbids,
                                 std::uint8_t protocol) {
  std::vector<std::uint32_t> out{0, 65536};
  for (const std::vector<Offer>* offers : {&allows, &forbids})
    for (const Offer& offer : *offers)
      for (const Access& access : offer.accesses)
        if (access.protocol == protocol) {
          out.push_back(access.ports.first);
          out.push_back(access.ports.last + 1u);
        }
  std::ranges::sort(out);
  const auto repeated = std::ranges::unique(out);
  out.erase(repeated.begin(), repeated.end());
  return out;
}

std::vector<std::uint8_t> protocols_of(const std::vector<Offer>& allows, const std::vector<Offer>& forbids) {
  std::vector<std::uint8_t> out;
  for (const std::vector<Offer>* offers : {&allows, &forbids})
    for (const Offer& offer : *offers)
      for (const Access& access : offer.accesses)
        if (access.protocol) out.push_back(*access.protocol);
  std::ranges::sort(out);
  const auto repeated = std::ranges::unique(out);
  out.erase(repeated.begin(), repeated.end());
  return out;
}

/// Runs of ports that are decided alike.
std::vector<std::pair<PortRange, Decided>> runs(const std::vector<Offer>& allows,
                                                const std::vector<Offer>& forbids, std::uint8_t protocol) {
  std::vector<std::pair<PortRange, Decided>> out;
  const auto at = edges(allows, forbids, protocol);
  for (std::size_t i = 0; i + 1 < at.size(); ++i) {
    Decided decided = decide(allows, forbids, {.protocol = protocol, .first = at[i], .end = at[i + 1]});
    const auto last = static_cast<std::uint16_t>(at[i + 1] - 1);
    if (!out.empty() && out.back().second == decided)
      out.back().first.last = last;
    else
      out.push_back({{static_cast<std::uint16_t>(at[i]), last}, std::move(decided)});
  }
  return out;
}

}  // namespace

std::vector<PortPrefix> prefixes_of(PortRange range) {
  std::vector<PortPrefix> out;
  std::uint32_t at = range.first;
  const std::uint32_t end = range.last + 1u;
  while (at < end) {
    std::uint32_t size = at == 0 ? 65536 : at & -at;  // the largest block that is aligned here
    while (at + size > end) size /= 2;
    std::uint8_t bits = 16;
    for (std::uint32_t s = size; s > 1; s /= 2) --bits;
    out.push_back({static_cast<std::uint16_t>(at), bits});
    at += size;
  }
  return out;
}

std::vector<PortGrant> port_table(const std::vector<Offer>& allows, const std::vector<Offer>& forbids) {
  std::vector<PortGrant> out;
  if (allows.empty()) return out;
  const Decided any = decide(allows, forbids, {});
  const bool any_grants = any && !any->deny;
  if (any_grants) out.push_back({.protocol = 0, .port_bits = 0, .port = 0, .value = *any});
  for (const std::uint8_t protocol : protocols_of(allows, forbids))
    for (const auto& [range, decided] : runs(allows, forbids, protocol)) {
      // What the search finds without an entry is right already: the any-protocol grant, or nothing.
      if (any_grants ? decided == any : !decided || decided->deny) continue;
      for (const PortPrefix& prefix : prefixes_of(range))
        out.push_back(
            {.protocol = protocol, .port_bits = prefix.bits, .port = prefix.port, .value = *decided});
    }
  return out;
}

const GrantValue* find_grant(const std::vector<PortGrant>& table, std::uint8_t protocol, std::uint16_t port) {
  // The runs of a protocol are disjoint: at most one entry of it matches.
  const GrantValue* found = nullptr;
  for (const PortGrant& grant : table) {
    if (grant.protocol == 0) {
      found = &grant.value;
      continue;
    }
    if (grant.protocol == protocol && ((grant.port ^ port) >> (16u - grant.port_bits)) == 0)
      return &grant.value;
  }
  return found;
}

}  // namespace cordon::policy
