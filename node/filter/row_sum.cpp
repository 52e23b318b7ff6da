#include "node/filter/row_sum.h"

#include <random>

#include "node/filter/row_hash.h"

namespace cordon::node {
namespace {

/// What a process hashes rows with.
struct RowSumKeys {
  std::uint64_t start, factor;
  RowSumKeys() {
    std::random_device device;
    const auto draw = [&] { return std::uint64_t{device()} << 32 | device(); };
    start = draw();
    factor = draw() | 1;
  }
};

}  // namespace

RowSum::RowSum(const Rows& rows) : rows_(rows.size()) {
  static const RowSumKeys keys;
  for (std::size_t i = 0; i < rows_; ++i) {
    std::uint64_t hash = row_hash(keys.start, rows.key(i), rows.key_size, keys.factor);
    hash = row_hash(hash, rows.value(i), rows.value_size, keys.factor);
    sum_ += mixed(hash ^ keys.start, keys.factor);
  }
}

}  // namespace cordon::node
