#pragma once
// Carries out a plan on whatever holds the tables, and what is done when a write fails half way.

#include "base/result.h"
#include "node/filter/plan.h"

namespace cordon::node {

/// What a plan is written to: the kernel's maps.
class TableWriter {
 public:
  virtual ~TableWriter() = default;
  /// Adds or overwrites; after a failure some of the rows may stand.
  virtual Result<> write(Table table, const Rows& rows) = 0;
  /// A key that is gone already is no error.
  virtual Result<> remove(Table table, const Rows& rows) = 0;
  virtual void raise_epoch() = 0;
};

/// All steps in their order. When one fails: what the plan takes away goes, which may make room, and then
/// what is left is tried again. When that fails too, nothing of what was to be added stands, and the epoch is
/// raised.
Result<> run_plan(const Plan& plan, TableWriter& tables);

/// What takes access away, whatever else fails: each step is tried, then the epoch is raised; the first
/// error.
Result<> run_cut(const Plan& plan, TableWriter& tables);

}  // namespace cordon::node
