#include "node/filter/rows.h"

#include "node/filter/row_index.h"
#include "node/filter/row_sum.h"

namespace cordon::node {

void Rows::make_unique() {
  std::vector<bool> shadowed;
  {
    RowIndex index(keys.data(), key_size, size());
    for (std::uint32_t i = 0; i < size(); ++i) {
      const std::uint32_t before = index.put(i);
      if (before == RowIndex::kNone) continue;
      shadowed.resize(size());
      shadowed[before] = true;
    }
  }
  if (shadowed.empty()) return;
  Rows left = shape();
  for (std::size_t i = 0; i < size(); ++i)
    if (!shadowed[i]) left.add_raw(key(i), value(i));
  *this = std::move(left);
}

RowsDifference difference(Rows have, Rows want) {
  const Rows none = want.shape();
  RowsDifference d{.added = none, .overwritten = none, .before = none, .removed = none};
  if (have.empty() || want.empty()) {
    d.added = std::move(want);
    d.removed = std::move(have);
    return d;
  }
  // Mostly nothing changed, as when a session or the daemon begins anew.
  if (have.size() == want.size() && RowSum(have) == RowSum(want)) return d;
  RowIndex index(have.keys.data(), have.key_size, have.size());
  for (std::uint32_t i = 0; i < have.size(); ++i) index.put(i);
  std::vector<bool> stays(have.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    const std::uint32_t old = index.find(want.key(i));
    if (old == RowIndex::kNone) {
      d.added.add_raw(want.key(i), want.value(i));
      continue;
    }
    stays[old] = true;
    if (std::memcmp(have.value(old), want.value(i), none.value_size) == 0) continue;
    d.overwritten.add_raw(want.key(i), want.value(i));
    d.before.add_raw(have.key(old), have.value(old));
  }
  for (std::size_t i = 0; i < have.size(); ++i)
    if (!stays[i]) d.removed.add_raw(have.key(i), have.value(i));
  return d;
}

}  // namespace cordon::node
