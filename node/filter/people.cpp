#include "node/filter/people.h"

#include <bit>
#include <map>
#include <utility>

namespace cordon::node {
namespace {

constexpr unsigned kUidBits = 32;

using People = std::map<std::pair<std::uint32_t, std::uint8_t>, cordon_person>;

cordon_person_key person_key(std::uint32_t uid, std::uint8_t bits) {
  cordon_person_key key{};
  key.prefix_bits = bits;
  for (unsigned i = 0; i < 4; ++i) key.uid[i] = static_cast<std::uint8_t>(uid >> (24 - 8 * i));
  return key;
}

}  // namespace

std::vector<UidPrefix> prefixes_of(const UidRange& range) {
  std::vector<UidPrefix> out;
  std::uint64_t at = range.first;
  while (at <= range.last) {
    // The largest block that begins here: as wide as its place allows and no wider than what is left.
    unsigned free_bits = at == 0 ? kUidBits : static_cast<unsigned>(std::countr_zero(at));
    while (at + (std::uint64_t{1} << free_bits) - 1 > range.last) --free_bits;
    out.push_back(
        {.uid = static_cast<std::uint32_t>(at), .bits = static_cast<std::uint8_t>(kUidBits - free_bits)});
    at += std::uint64_t{1} << free_bits;
  }
  return out;
}

void add_people(Image& image, const policy::NodeState& state, const std::vector<UidRange>& people) {
  People all;
  for (const UidRange& range : people)
    for (const UidPrefix& prefix : prefixes_of(range)) all[{prefix.uid, prefix.bits}] = {};
  for (auto it = state.entries.lower_bound(policy::LocalSessionKey{}); it != state.entries.end(); ++it) {
    const auto* session = std::get_if<policy::LocalSessionValue>(&it->second);
    if (session == nullptr) break;
    if (!is_among(people, session->uid)) continue;
    const auto address = [](const Address& a) { return a.is_unspecified() ? cordon_address{} : to_abi(a); };
    all[{session->uid, std::uint8_t{kUidBits}}] = {.v4 = address(session->v4), .v6 = address(session->v6)};
  }
  for (const auto& [prefix, person] : all)
    image[Table::people].add(person_key(prefix.first, prefix.second), person);
}

}  // namespace cordon::node
