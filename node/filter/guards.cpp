#include "node/filter/guards.h"

#include <algorithm>
#include <bitset>
#include <map>

namespace cordon::node {
namespace {

using Ports = std::bitset<65536>;

void add_prefixes(std::vector<GuardPrefix>& out, std::uint8_t protocol, const Ports& ports, bool count_only) {
  std::uint32_t at = 0;
  while (at < 65536) {
    if (!ports[at]) {
      ++at;
      continue;
    }
    std::uint32_t end = at;
    while (end < 65536 && ports[end]) ++end;
    while (at < end) {  // the largest aligned block that fits, again and again
      std::uint32_t size = 1;
      std::uint8_t bits = 16;
      while (size < 65536 && at % (size * 2) == 0 && at + size * 2 <= end) size *= 2, --bits;
      out.push_back({protocol, bits, static_cast<std::uint16_t>(at), count_only});
      at += size;
    }
  }
}

}  // namespace

std::vector<GuardPrefix> guard_prefixes(const policy::NodeState& state) {
  struct Sets {
    Ports dropped, counted;
  };
  std::map<std::uint8_t, Sets> by_protocol;
  for (auto it = state.entries.lower_bound(policy::GuardKey{.protocol = 0, .ports = {0, 0}});
       it != state.entries.end(); ++it) {
    const auto* key = std::get_if<policy::GuardKey>(&it->first);
    if (key == nullptr) break;
    Sets& sets = by_protocol[key->protocol];
    Ports& ports = std::get<policy::GuardValue>(it->second).count_only ? sets.counted : sets.dropped;
    for (std::uint32_t port = key->ports.first; port <= key->ports.last; ++port) ports.set(port);
  }
  std::vector<GuardPrefix> out;
  for (auto& [protocol, sets] : by_protocol) {
    add_prefixes(out, protocol, sets.dropped, false);
    add_prefixes(out, protocol, sets.counted & ~sets.dropped, true);
  }
  return out;
}

}  // namespace cordon::node
