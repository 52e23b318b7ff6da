#include "node/filter/run_plan.h"

#include "base/log.h"
#include "node/filter/sides.h"
#include "node/filter/writes.h"

namespace cordon::node {
namespace {

Result<> run_write(const Write& write, TableWriter& tables) {
  switch (write.kind) {
    case Write::Kind::put:
    case Write::Kind::put_going:
      return tables.write(write.table, *write.rows);
    case Write::Kind::turn:
      return tables.turn();
    case Write::Kind::remove:
      break;
  }
  return tables.remove(write.table, *write.rows);
}

Result<> run_step(const Step& step, TableWriter& tables) {
  return step.kind == Step::Kind::remove ? tables.remove(step.table, step.rows)
                                         : tables.write(step.table, step.rows);
}

Result<> run_steps(const Plan& plan, TableWriter& tables) {
  for (const Step& step : plan.steps) CORDON_TRY(run_step(step, tables));
  return tables.turn();
}

}  // namespace

Result<> run_cut(const Plan& plan, TableWriter& tables) {
  Result<> first;
  for (const Step& step : cut(plan).steps) {
    auto done = run_step(step, tables);
    if (done) continue;
    if (first) first = std::move(done);
    // A row that is left on a side would hold when the generation comes that it was written for.
    if (has_sides(step.table)) (void)tables.remove(step.table, step.rows);
  }
  tables.raise_epoch();
  return first;
}

Result<Written> run_plan(const Plan& plan, std::uint64_t generation, TableWriter& tables) {
  if (for_writes(plan, generation, [&](const Write& write) { return run_write(write, tables); }))
    return Written::turned;
  Result<> done = run_cut(plan, tables);
  const Plan after = rest(plan);
  if (done) done = run_steps(after, tables);
  if (done) return Written::in_place;
  // Half a class may lack what it denies: nothing that was added stays. A failed step may have written rows.
  for (const Step& step : undo(after, after.steps.size()).steps)
    if (step.kind == Step::Kind::remove)
      if (auto undone = run_step(step, tables); !undone)
        log::error("node.filter", "undoing: {}", undone.error().message());
  tables.raise_epoch();
  return std::unexpected(in_context(std::move(done).error(), "writing the filter's maps"));
}

}  // namespace cordon::node
