#include "node/filter/row_sum.h"

#include <algorithm>
#include <random>

namespace cordon::node {
namespace {

__extension__ using RowProduct = unsigned __int128;

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

/// Both halves of a product: each bit of it comes to depend on every bit of `word`, so that what differs in
/// one row can't make up for what differs in another.
std::uint64_t mixed(std::uint64_t word, std::uint64_t factor) {
  const RowProduct product = RowProduct{word} * factor;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t mixed_bytes(std::uint64_t hash, const std::uint8_t* bytes, std::size_t size,
                          std::uint64_t factor) {
  for (std::size_t at = 0; at < size; at += sizeof hash) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + at, std::min(sizeof word, size - at));
    hash = mixed(hash ^ word, factor);
  }
  return hash;
}

}  // namespace

RowSum::RowSum(const Rows& rows) : rows_(rows.size()) {
  static const RowSumKeys keys;
  for (std::size_t i = 0; i < rows_; ++i) {
    std::uint64_t hash = mixed_bytes(keys.start, rows.key(i), rows.key_size, keys.factor);
    hash = mixed_bytes(hash, rows.value(i), rows.value_size, keys.factor);
    sum_ += mixed(hash ^ keys.start, keys.factor);
  }
}

}  // namespace cordon::node
