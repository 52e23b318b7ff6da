#include "node/filter/writes.h"

#include "node/filter/sides.h"

namespace cordon::node {
namespace {

Rows sided(const Step& step, std::uint64_t generation) {
  switch (step.kind) {
    case Step::Kind::add:
      return coming(step.table, step.rows, generation);
    case Step::Kind::overwrite:
      return changing(step.table, step.rows, step.before, generation);
    case Step::Kind::remove:
      break;
  }
  return going(step.table, step.rows, generation);
}

}  // namespace

Result<> for_writes(const Plan& plan, std::uint64_t generation,
                    const std::function<Result<>(const Write&)>& take) {
  using Kind = Step::Kind;
  for (const Step& step : plan.steps) {
    if (has_sides(step.table)) {
      const Rows rows = sided(step, generation);
      const auto kind = step.kind == Kind::remove ? Write::Kind::put_going : Write::Kind::put;
      CORDON_TRY(take({.kind = kind, .table = step.table, .rows = &rows}));
    } else if (step.kind != Kind::remove) {
      CORDON_TRY(take({.kind = Write::Kind::put, .table = step.table, .rows = &step.rows}));
    }
  }
  CORDON_TRY(take({.kind = Write::Kind::turn}));
  for (const Step& step : plan.steps)
    if (step.kind == Kind::remove)
      CORDON_TRY(take({.kind = Write::Kind::remove, .table = step.table, .rows = &step.rows}));
  return {};
}

}  // namespace cordon::node
