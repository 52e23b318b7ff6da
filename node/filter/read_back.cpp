// Whether the kernel holds what was written.

#include <map>
#include <set>

#include "node/filter/kernel_filter.h"
#include "node/filter/sides.h"
#include "node/filter/writes.h"

namespace cordon::node {
namespace {

/// Those that are read back whole rather than row by row: a row asked for by its key takes three times as
/// long.
std::set<Table> tables_of_many_rows(const Plan& plan) {
  constexpr std::size_t kMany = 1u << 16;
  std::map<Table, std::size_t> rows;
  for (const Step& step : plan.steps) rows[step.table] += step.rows.size();
  std::set<Table> out;
  for (const auto& [table, count] : rows)
    if (count > kMany) out.insert(table);
  return out;
}

/// Of rows of a table as the kernel holds them: what they say in this generation. One that says nothing, and
/// so shouldn't be there, counts too.
RowSum sum_said(Table table, const Rows& held, std::uint64_t generation) {
  if (!has_sides(table)) return RowSum(held);
  const SettledRows settled = settle(table, held, generation);
  RowSum sum(settled.rows);
  sum += RowSum(settled.absent);
  return sum;
}

}  // namespace

Result<bool> KernelFilter::verify(const Plan& plan, Written written, std::uint64_t generation,
                                  const TableSums* sums) const {
  const std::set<Table> whole = sums != nullptr ? tables_of_many_rows(plan) : std::set<Table>{};
  bool all = true;
  const auto note = [&](Table table, const Rows& rows, bool present) -> Result<> {
    if (!all || whole.contains(table)) return {};
    CORDON_ASSIGN(all, map(table).holds(rows, present));
    return {};
  };
  for (const Table table : whole) {
    if (!all) break;
    const auto sum_up = [&](const Rows& rows) { return sum_said(table, rows, generation); };
    CORDON_ASSIGN(all,
                  map(table).says((*sums)[static_cast<std::size_t>(table)], empty_image()[table], sum_up));
  }
  if (written == Written::in_place) {
    for (const Step& step : plan.steps)
      CORDON_TRY(note(step.table, step.rows, step.kind != Step::Kind::remove));
    return all;
  }
  CORDON_TRY(for_writes(plan, generation, [&](const Write& write) -> Result<> {
    if (write.kind == Write::Kind::put) return note(write.table, *write.rows, true);
    if (write.kind == Write::Kind::remove) return note(write.table, *write.rows, false);
    return {};
  }));
  return all;
}

}  // namespace cordon::node
