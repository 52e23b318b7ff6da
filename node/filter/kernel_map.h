#pragma once
// Tables of a kernel map by batch calls.

#include <functional>

#include "base/result.h"
#include "node/filter/row_sum.h"
#include "node/filter/rows.h"

namespace cordon::node {

/// The sum of rows, or of what they mean.
using SumUp = std::function<RowSum(const Rows&)>;

/// A BPF map that somebody else keeps open.
struct KernelMap {
  int fd = -1;
  const char* name = "";
  bool is_trie = false;

  /// Every row, in no order; `shape` tells the sizes.
  Result<Rows> read(const Rows& shape) const;
  /// Adds or overwrites, in no order; after a failure some of the rows may stand.
  Result<> write(const Rows& rows) const;
  /// Removes by key; a key that is gone already is no error.
  Result<> remove(const Rows& rows) const;
  /// Do the rows stand in the map just so (`present`), or none of their keys?
  Result<bool> holds(const Rows& rows, bool present) const;
  /// The sum of the map's rows, as `sum_up` gives it of any of them; of a hash map's in so many parts at
  /// once, by which `sum_up` is called.
  Result<RowSum> sum(const Rows& shape, const SumUp& sum_up, std::size_t parts) const;
  /// Is it this one?
  Result<bool> says(const RowSum& wanted, const Rows& shape, const SumUp& sum_up) const;
};

}  // namespace cordon::node
