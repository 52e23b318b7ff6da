#pragma once
// What turns the rows that the maps hold into those that are wanted; writes.h has the order. Pure.

#include <string>
#include <vector>

#include "base/result.h"
#include "node/filter/image.h"

namespace cordon::node {

struct Step {
  enum class Kind { add, overwrite, remove } kind = Kind::add;
  Table table = Table::grants;
  Rows rows;    ///< of remove: the keys that go, with their values
  Rows before;  ///< of overwrite: the same keys with their old values
};

struct Plan {
  std::vector<Step> steps;
  bool takes_away = false;  ///< some entry is overwritten, removed or hidden that a flow may stand on
  std::size_t written = 0, removed = 0;
};

/// At most one step for each table and kind, in the order of Table. Rows with sides are settled (sides.h).
Plan make_plan(Image have, Image want);

/// What undoes the first `done` steps, last first.
Plan undo(const Plan& plan, std::size_t done);

/// What of the plan needs no room and takes access away, for when the rest can't be written: principals that
/// change go, then whatever is overwritten or removed, and what stands on a side already; guards only come.
Plan cut(const Plan& plan);
/// What is left after `cut`.
Plan rest(const Plan& plan);

/// An error with the numbers when `want` alone doesn't fit (I11). `capacity` by table; 0: unbounded.
Result<> check_capacity(const Image& want, const std::array<std::size_t, kTables>& capacity);

}  // namespace cordon::node
