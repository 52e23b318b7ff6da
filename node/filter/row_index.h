#pragma once
// Finds rows by their keys: what a sort of millions of rows would cost more for.

#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "node/filter/row_hash.h"

namespace cordon::node {

/// An open-addressed table of row numbers over an array of keys of equal size, which must outlive it unmoved.
class RowIndex {
 public:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  /// By which keys are placed.
  static std::uint64_t hash(const std::uint8_t* key, std::size_t size) {
    constexpr std::uint64_t kStart = 0x9e3779b97f4a7c15u, kFactor = 0xbf58476d1ce4e5b9u;
    return mixed(row_hash(kStart, key, size, kFactor) ^ kStart, kFactor);
  }

  /// Room for `rows` rows; none is in it yet.
  RowIndex(const std::uint8_t* keys, std::size_t key_size, std::size_t rows)
      : keys_(keys), key_size_(key_size), slots_(std::bit_ceil(rows * 2 + 2)) {}

  /// Puts row `i` in; the row that had its key before, or kNone.
  std::uint32_t put(std::uint32_t i) {
    const std::uint8_t* key = keys_ + i * key_size_;
    const std::uint64_t h = hash(key);
    Slot& slot = slots_[place_of(key, h)];
    return std::exchange(slot, {.row = i, .hash_end = static_cast<std::uint32_t>(h >> 32)}).row;
  }
  /// The row of this key, or kNone.
  std::uint32_t find(const std::uint8_t* key) const { return slots_[place_of(key, hash(key))].row; }

 private:
  struct Slot {
    std::uint32_t row = kNone;
    std::uint32_t hash_end = 0;  ///< most other keys differ here: theirs needn't be looked at
  };

  std::size_t place_of(const std::uint8_t* key, std::uint64_t h) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = h & mask;
    for (; slots_[at].row != kNone; at = (at + 1) & mask)
      if (slots_[at].hash_end == h >> 32 &&
          std::memcmp(keys_ + slots_[at].row * key_size_, key, key_size_) == 0)
        break;
    return at;
  }
  std::uint64_t hash(const std::uint8_t* key) const { return hash(key, key_size_); }

  const std::uint8_t* keys_;
  std::size_t key_size_;
  std::vector<Slot> slots_;
};

}  // namespace cordon::node
