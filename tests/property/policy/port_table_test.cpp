// Interval arithmetic against a walk over all ports.

#include "policy/port_table.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>

#include "policy/coverage.h"
#include "tests/property/policy/draw.h"

namespace cordon::test {
namespace port_table_test {

using policy::Offer;
using policy::PortGrant;

constexpr std::array kNames{"b", "a", "d", "c"};

std::vector<Offer> offers(WorldGen& gen, std::uint32_t first_rule, bool deny) {
  std::vector<Offer> out(gen.number(4));
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i].name = kNames[i];
    out[i].value.rule = RuleId{first_rule + static_cast<std::uint32_t>(i)};
    out[i].value.deny = deny;
    if (!deny) out[i].value.slot = static_cast<std::uint8_t>(gen.number(3));
    for (std::uint32_t n = 1 + gen.number(2); n > 0; --n) {
      policy::Access access;
      if (gen.number(5) != 4) access.protocol = gen.number(2) == 0 ? policy::kTcp : policy::kUdp;
      if (access.protocol && gen.number(3) != 2) {
        const std::uint16_t a = gen.port(), b = gen.port();
        access.ports = {std::min(a, b), std::max(a, b)};
      }
      out[i].accesses.push_back(access);
    }
  }
  return out;
}

const Offer* first_that_covers(const std::vector<Offer>& offers, std::uint8_t protocol, std::uint16_t port) {
  for (const Offer& offer : offers)
    for (const policy::Access& access : offer.accesses)
      if (covers(access, protocol, port)) return &offer;
  return nullptr;
}

bool covers(const Offer& offer, std::uint8_t protocol, std::uint16_t port) {
  return std::ranges::any_of(offer.accesses,
                             [&](const auto& access) { return covers(access, protocol, port); });
}

/// The most specific entry that matches (the kernel's order).
const PortGrant* search(const std::vector<PortGrant>& table, std::uint8_t protocol, std::uint16_t port) {
  const PortGrant* found = nullptr;
  const auto rank = [](const PortGrant& g) { return g.protocol == 0 ? -1 : static_cast<int>(g.port_bits); };
  for (const PortGrant& grant : table) {
    const unsigned shift = 16u - grant.port_bits;
    if (grant.protocol != 0 && grant.protocol != protocol) continue;
    if (grant.protocol != 0 && port >> shift != grant.port >> shift) continue;
    if (!found || rank(grant) > rank(*found)) found = &grant;
  }
  return found;
}

// P1, P9.
RC_GTEST_PROP(PortTable, every_port_gets_the_first_rule_that_covers_it, ()) {
  WorldGen gen(drawn());
  const auto allows = offers(gen, 1, false);
  const auto forbids = offers(gen, 100, true);
  const auto table = policy::port_table(allows, forbids);
  for (const std::uint8_t protocol : {policy::kTcp, policy::kUdp, policy::kSctp})
    for (std::uint32_t port = 0; port < 65536; port += port < 9000 || port > 65000 ? 1 : 97) {
      const auto p = static_cast<std::uint16_t>(port);
      const Offer* forbid = first_that_covers(forbids, protocol, p);
      const Offer* allow = first_that_covers(allows, protocol, p);
      const PortGrant* entry = search(table, protocol, p);
      if (forbid || !allow)
        RC_ASSERT(!entry || entry->value.deny);
      else
        RC_ASSERT(entry && entry->value == allow->value);
    }
}

// P7: forbids that begin later end what they cover, and make equal what would have lasted longer.
RC_GTEST_PROP(PortTable, forbids_that_begin_end_what_they_cover, ()) {
  WorldGen gen(drawn());
  const auto allows = offers(gen, 1, false);
  auto forbids = offers(gen, 100, true);
  for (Offer& forbid : forbids) {
    forbid.holds = gen.number(3) == 2;
    forbid.value.slot = static_cast<std::uint8_t>(gen.number(4));
    forbid.ties = gen.number(static_cast<std::uint32_t>(allows.size()) + 1);
  }
  const auto table = policy::port_table(allows, forbids);
  for (const std::uint8_t protocol : {policy::kTcp, policy::kSctp})
    for (std::uint32_t port = 0; port < 65536; port += port < 9000 || port > 65000 ? 1 : 97) {
      const auto p = static_cast<std::uint16_t>(port);
      std::uint32_t ties = 0;
      std::uint8_t slot = 7;
      bool denied = false;
      for (const Offer& forbid : forbids) {
        if (!covers(forbid, protocol, p)) continue;
        denied = denied || forbid.holds;
        if (forbid.holds) continue;
        ties = std::max(ties, forbid.ties);
        slot = std::min(slot, forbid.value.slot);
      }
      const Offer* best = nullptr;
      for (std::uint32_t i = 0; i < allows.size(); ++i)
        if (covers(allows[i], protocol, p) && (!best || (i < ties && allows[i].name < best->name)))
          best = &allows[i];
      const PortGrant* entry = search(table, protocol, p);
      const policy::GrantValue* found = policy::find_grant(table, protocol, p);
      RC_ASSERT(found == (entry ? &entry->value : nullptr));
      if (denied || !best) {
        RC_ASSERT(!entry || entry->value.deny);
        continue;
      }
      RC_ASSERT(entry && entry->value.rule == best->value.rule);
      RC_ASSERT(entry->value.slot == std::min(best->value.slot, slot));
    }
}

RC_GTEST_PROP(PortTable, prefixes_make_up_the_range_and_nothing_else, ()) {
  WorldGen gen(drawn());
  const std::uint16_t a = gen.port(), b = gen.port();
  const policy::PortRange range{std::min(a, b), std::max(a, b)};
  std::uint32_t next = range.first;
  for (const auto& [port, bits] : policy::prefixes_of(range)) {
    RC_ASSERT(port == next);
    RC_ASSERT(port % (1u << (16 - bits)) == 0u);
    next += 1u << (16 - bits);
  }
  RC_ASSERT(next == range.last + 1u);
}

}  // namespace port_table_test
}  // namespace cordon::test
