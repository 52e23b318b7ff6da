#pragma once
// Carries out a plan on whatever holds the tables, and what is done when a write fails half way.

#include <cstdint>

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
  /// The next generation holds.
  virtual Result<> turn() = 0;
  virtual void raise_epoch() = 0;
};

/// How a plan's rows stand in the tables afterwards.
enum class Written {
  turned,    ///< as for_writes has them: nobody saw but the one state or the other
  in_place,  ///< settled
};

/// All writes in their order; what is to turn does so in `generation`. When one fails: what the plan takes
/// away goes, which may make room, and then what is left is tried again, in place. When that fails too,
/// nothing of what was to be added stands, and the epoch is raised.
Result<Written> run_plan(const Plan& plan, std::uint64_t generation, TableWriter& tables);

/// What takes access away, whatever else fails: each step is tried, then the epoch is raised; the first
/// error.
Result<> run_cut(const Plan& plan, TableWriter& tables);

}  // namespace cordon::node
