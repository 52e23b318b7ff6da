#pragma once
// Tells tables apart without looking for rows, in any order and in parts.

#include <cstddef>
#include <cstdint>

#include "node/filter/rows.h"

namespace cordon::node {

/// A sum of hashes over rows, each of key and value together. Tables that differ have the same one by a
/// chance of some 2^-64; the hash is drawn anew by each process, so sums are compared within one alone.
class RowSum {
 public:
  RowSum() = default;
  explicit RowSum(const Rows& rows);
  RowSum& operator+=(const RowSum& other) {
    sum_ += other.sum_;
    rows_ += other.rows_;
    return *this;
  }
  bool operator==(const RowSum&) const = default;

 private:
  std::uint64_t sum_ = 0;
  std::size_t rows_ = 0;
};

}  // namespace cordon::node
