#include "node/filter/rows.h"

#include <algorithm>
#include <numeric>

namespace cordon::node {

void Rows::sort() {
  std::vector<std::uint32_t> order(size());
  std::iota(order.begin(), order.end(), 0u);
  const auto compare = [this](std::uint32_t a, std::uint32_t b) {
    return std::memcmp(key(a), key(b), key_size);
  };
  const auto less = [&](std::uint32_t a, std::uint32_t b) {
    const int by_key = compare(a, b);
    return by_key != 0 ? by_key < 0 : a < b;
  };
  std::sort(order.begin(), order.end(), less);
  Rows sorted{.key_size = key_size, .value_size = value_size, .keys = {}, .values = {}};
  sorted.keys.reserve(keys.size());
  sorted.values.reserve(values.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    const bool shadowed = i + 1 < order.size() && compare(order[i], order[i + 1]) == 0;
    if (!shadowed) sorted.add_raw(key(order[i]), value(order[i]));
  }
  *this = std::move(sorted);
}

RowsDifference difference(const Rows& have, const Rows& want) {
  const Rows shape{.key_size = want.key_size, .value_size = want.value_size, .keys = {}, .values = {}};
  RowsDifference d{.added = shape, .overwritten = shape, .before = shape, .removed = shape};
  std::size_t h = 0, w = 0;
  while (h < have.size() || w < want.size()) {
    const int order = h == have.size()   ? 1
                      : w == want.size() ? -1
                                         : std::memcmp(have.key(h), want.key(w), shape.key_size);
    if (order < 0) {
      d.removed.add_raw(have.key(h), have.value(h));
      ++h;
    } else if (order > 0) {
      d.added.add_raw(want.key(w), want.value(w));
      ++w;
    } else {
      if (std::memcmp(have.value(h), want.value(w), shape.value_size) != 0) {
        d.overwritten.add_raw(want.key(w), want.value(w));
        d.before.add_raw(have.key(h), have.value(h));
      }
      ++h, ++w;
    }
  }
  return d;
}

}  // namespace cordon::node
