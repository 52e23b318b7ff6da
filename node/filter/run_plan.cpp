#include "node/filter/run_plan.h"

#include "base/log.h"

namespace cordon::node {
namespace {

Result<> run_step(const Step& step, TableWriter& tables) {
  return step.kind == Step::Kind::remove ? tables.remove(step.table, step.rows)
                                         : tables.write(step.table, step.rows);
}

Result<> run_steps(const Plan& plan, TableWriter& tables) {
  for (const Step& step : plan.steps) CORDON_TRY(run_step(step, tables));
  return {};
}

}  // namespace

Result<> run_cut(const Plan& plan, TableWriter& tables) {
  Result<> first;
  for (const Step& step : cut(plan).steps)
    if (auto done = run_step(step, tables); !done && first) first = std::move(done);
  tables.raise_epoch();
  return first;
}

Result<> run_plan(const Plan& plan, TableWriter& tables) {
  if (run_steps(plan, tables)) return {};
  Result<> done = run_cut(plan, tables);
  const Plan after = rest(plan);
  if (done) done = run_steps(after, tables);
  if (done) return {};
  // Half a class may lack what it denies: nothing that was added stays. A failed step may have written rows.
  for (const Step& step : undo(after, after.steps.size()).steps)
    if (step.kind == Step::Kind::remove)
      if (auto undone = run_step(step, tables); !undone)
        log::error("node.filter", "undoing: {}", undone.error().message());
  tables.raise_epoch();
  return std::unexpected(in_context(std::move(done).error(), "writing the filter's maps"));
}

}  // namespace cordon::node
