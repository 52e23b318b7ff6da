#pragma once
// From the rules between one principal and one target to the kernel's grant entries: interval arithmetic.

#include <cstdint>
#include <string_view>
#include <vector>

#include "policy/model.h"
#include "policy/node_state.h"

namespace cordon::policy {

/// What one rule says of a pair: its accesses and what an entry made from it holds.
struct Offer {
  std::string_view name;  ///< of the rule
  std::vector<Access> accesses;
  GrantValue value;        ///< `deny` for a forbid
  bool holds = true;       ///< a forbid: now; else allows end with its slot where both cover a port
  std::uint32_t ties = 0;  ///< such a forbid: so many allows last until it begins; there the lowest name wins
};

/// A grant entry without the places (direction, class, target) it is used in.
struct PortGrant {
  std::uint8_t protocol = 0;
  std::uint8_t port_bits = 16;
  std::uint16_t port = 0;
  GrantValue value;
  bool operator==(const PortGrant&) const = default;
};

/// The entries that the kernel's order of search (exact port, port prefix, any port, any protocol) reads as:
/// a port that a forbid covers which holds is denied, else the first allow that covers it is granted, else
/// nothing is. `allows` come in order of preference, `forbids` by name. A `deny` entry is made only where the
/// any-protocol grant would let a forbidden port through. Empty when nothing is granted.
std::vector<PortGrant> port_table(const std::vector<Offer>& allows, const std::vector<Offer>& forbids);

/// What the entries say of a port, in the kernel's order of search; null: nothing. `table` is as port_table
/// makes it.
const GrantValue* find_grant(const std::vector<PortGrant>& table, std::uint8_t protocol, std::uint16_t port);

/// The aligned blocks that make up a range, each as its leading bits (as CIDR does for addresses).
struct PortPrefix {
  std::uint16_t port = 0;
  std::uint8_t bits = 16;
  bool operator==(const PortPrefix&) const = default;
};
std::vector<PortPrefix> prefixes_of(PortRange range);

}  // namespace cordon::policy
