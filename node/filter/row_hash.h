#pragma once
// A hash of a row's bytes: for tables, and with factors that nobody knows for sums.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace cordon::node {

/// Both halves of a product: each bit of it comes to depend on every bit of `word`, as the last bytes of an
/// IPv4 address need, which are a word's uppermost bits.
inline std::uint64_t mixed(std::uint64_t word, std::uint64_t factor) {
  __extension__ using Product = unsigned __int128;
  const Product product = Product{word} * factor;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

/// Goes on from `hash`; `factor` is odd.
inline std::uint64_t row_hash(std::uint64_t hash, const std::uint8_t* bytes, std::size_t size,
                              std::uint64_t factor) {
  for (std::size_t at = 0; at < size; at += sizeof hash) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + at, std::min(sizeof word, size - at));
    hash = mixed(hash ^ word, factor);
  }
  return hash;
}

}  // namespace cordon::node
