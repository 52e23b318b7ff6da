// difference() of policy/engine_node.h.

#include <algorithm>
#include <iterator>
#include <string_view>
#include <tuple>

#include "policy/engine_node.h"

namespace cordon::policy::engine {
namespace {

/// Where an entry stands, and the beginning of its key as numbers that are in the keys' order.
struct Ranked {
  std::size_t kind;
  std::uint64_t first = 0, second = 0;
  std::uint32_t place;

  auto rank() const { return std::tie(kind, first, second); }
};

std::uint64_t big_endian(std::string_view bytes, std::size_t from) {
  std::uint64_t out = 0;
  for (std::size_t i = from; i < from + 8; ++i)
    out = out << 8 | (i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0u);
  return out;
}

std::string_view beginning(const Address& address) {
  return {reinterpret_cast<const char*>(address.bytes.data()), address.bytes.size()};
}

Ranked ranked(const Key& key, std::uint32_t place) {
  Ranked out{.kind = key.index(), .place = place};
  std::string_view text;
  if (const auto* principal = std::get_if<PrincipalKey>(&key))
    text = beginning(principal->address);
  else if (const auto* target = std::get_if<TargetKey>(&key))
    text = beginning(target->prefix.address);
  else if (const auto* peer = std::get_if<PeerKey>(&key))
    text = peer->device.value;
  else if (const auto* rule = std::get_if<RuleKey>(&key))
    out.first = rule->rule.value;
  if (text.empty()) return out;
  out.first = big_endian(text, 0);
  out.second = big_endian(text, 8);
  return out;
}

/// Where each key stands, in the order of the keys, each key once. Entries are large: they stay where they
/// are.
std::vector<std::uint32_t> in_order(const std::vector<std::pair<Key, Value>>& entries) {
  std::vector<Ranked> order;
  order.reserve(entries.size());
  for (std::uint32_t place = 0; place < entries.size(); ++place)
    order.push_back(ranked(entries[place].first, place));
  const auto less = [&](const Ranked& a, const Ranked& b) {
    if (a.rank() != b.rank()) return a.rank() < b.rank();
    return entries[a.place].first < entries[b.place].first;
  };
  std::ranges::sort(order, less);
  std::vector<std::uint32_t> places;
  places.reserve(order.size());
  for (const Ranked& entry : order)
    if (places.empty() || entries[places.back()].first != entries[entry.place].first)
      places.push_back(entry.place);
  return places;
}

ClassId id_of(const ClassPtr& grants) {
  return grants->front().first.class_id;
}

/// Those that are only in the first, by their ids. A class is named by what it holds.
std::vector<ClassPtr> only_in(const std::vector<ClassPtr>& these, const std::vector<ClassPtr>& those) {
  std::vector<ClassId> others;
  for (const ClassPtr& grants : those) others.push_back(id_of(grants));
  std::ranges::sort(others);
  std::vector<ClassPtr> out;
  for (const ClassPtr& grants : these)
    if (!std::ranges::binary_search(others, id_of(grants))) out.push_back(grants);
  std::ranges::sort(out, {}, id_of);
  const auto repeated = std::ranges::unique(out, {}, id_of);
  out.erase(repeated.begin(), repeated.end());
  return out;
}

}  // namespace

Difference difference(Entries before, Entries now) {
  const auto was = in_order(before.plain);
  const auto is = in_order(now.plain);
  std::vector<Change> changes, upserts;
  upserts.reserve(is.size());
  auto a = was.begin();
  auto b = is.begin();
  while (a != was.end() || b != is.end()) {
    const bool left = a != was.end();
    if (left && (b == is.end() || before.plain[*a].first < now.plain[*b].first)) {
      changes.push_back({.key = std::move(before.plain[*a++].first), .value = std::nullopt});
      continue;
    }
    auto& [key, value] = now.plain[*b++];
    const bool same_key = left && before.plain[*a].first == key;
    if (!same_key || before.plain[*a].second != value)
      upserts.push_back({.key = std::move(key), .value = std::move(value)});
    if (same_key) ++a;
  }
  if (changes.empty())
    changes = std::move(upserts);
  else
    changes.insert(changes.end(), std::move_iterator(upserts.begin()), std::move_iterator(upserts.end()));
  return {.plain = std::move(changes),
          .gone = only_in(before.classes, now.classes),
          .come = only_in(now.classes, before.classes)};
}

}  // namespace cordon::policy::engine
