#include "node/filter/plan.h"

#include <fmt/format.h>

#include "node/filter/sides.h"

namespace cordon::node {
namespace {

/// Flows stand on the overlay's tables only.
bool holds_flows(Table table) {
  return table != Table::people && table != Table::guards && table != Table::allow;
}

}  // namespace

Plan make_plan(Image have, Image want) {
  std::array<RowsDifference, kTables> by_table;
  const bool had_targets = !have[Table::targets].empty();
  for (std::size_t i = 0; i < kTables; ++i)
    by_table[i] = difference(std::move(have.tables[i]), std::move(want.tables[i]));
  Plan plan;
  const auto push = [&](Step::Kind kind, Table table, Rows& rows, Rows before) {
    if (rows.empty()) return;
    if (kind == Step::Kind::remove)
      plan.removed += rows.size();
    else
      plan.written += rows.size();
    // A target that comes may lie in a wider one.
    const bool only_adds = kind == Step::Kind::add && !(table == Table::targets && had_targets);
    if (!only_adds && holds_flows(table)) plan.takes_away = true;
    plan.steps.push_back(
        {.kind = kind, .table = table, .rows = std::move(rows), .before = std::move(before)});
  };
  for (std::size_t i = 0; i < kTables; ++i) {
    const auto table = static_cast<Table>(i);
    push(Step::Kind::add, table, by_table[i].added, {});
    push(Step::Kind::overwrite, table, by_table[i].overwritten, std::move(by_table[i].before));
    push(Step::Kind::remove, table, by_table[i].removed, {});
  }
  return plan;
}

Plan undo(const Plan& plan, std::size_t done) {
  Plan out;
  out.takes_away = true;
  for (std::size_t i = done; i-- > 0;) {
    const Step& step = plan.steps[i];
    switch (step.kind) {
      case Step::Kind::add:
        out.steps.push_back({Step::Kind::remove, step.table, step.rows, {}});
        break;
      case Step::Kind::overwrite:
        out.steps.push_back({Step::Kind::overwrite, step.table, step.before, step.rows});
        break;
      case Step::Kind::remove:
        out.steps.push_back({Step::Kind::add, step.table, step.rows, {}});
        break;
    }
  }
  return out;
}

Plan cut(const Plan& plan) {
  using Kind = Step::Kind;
  Plan first, others, guards;
  for (const Step& step : plan.steps) {
    if (step.table == Table::guards) {
      if (step.kind != Kind::remove) guards.steps.push_back(step);
    } else if (step.kind == Kind::add) {
      if (has_sides(step.table)) first.steps.push_back({Kind::remove, step.table, step.rows, {}});
    } else if (step.table == Table::principals) {
      const Rows& gone = step.kind == Kind::overwrite ? step.before : step.rows;
      first.steps.push_back({Kind::remove, step.table, gone, {}});
    } else {
      others.steps.push_back(step);
    }
  }
  Plan out = std::move(first);
  for (Plan* part : {&others, &guards})
    for (Step& step : part->steps) out.steps.push_back(std::move(step));
  out.takes_away = true;
  return out;
}

Plan rest(const Plan& plan) {
  using Kind = Step::Kind;
  Plan out;
  for (const Step& step : plan.steps)
    if (step.kind == Kind::add && step.table != Table::guards) out.steps.push_back(step);
  for (const Step& step : plan.steps) {
    if (step.table == Table::principals && step.kind == Kind::overwrite)
      out.steps.push_back({Kind::add, step.table, step.rows, {}});
    else if (step.table == Table::guards && step.kind == Kind::remove)
      out.steps.push_back(step);
  }
  return out;
}

namespace {

std::string room_hint(Table table) {
  if (table == Table::people) return "name fewer ranges in 'people_uids' of node.toml";
  if (table == Table::allow) return "name fewer sources in [underlay] allow of node.toml";
  return fmt::format("raise '{}' in [filter.maps] of node.toml", map_name(table));
}

}  // namespace

Result<> check_capacity(const Image& want, const std::array<std::size_t, kTables>& capacity) {
  for (std::size_t i = 0; i < kTables; ++i) {
    if (capacity[i] == 0 || want.tables[i].size() <= capacity[i]) continue;
    return fail(ErrorCode::exhausted,
                fmt::format("the state has {} entries for map '{}', which holds {}", want.tables[i].size(),
                            map_name(static_cast<Table>(i)), capacity[i]),
                room_hint(static_cast<Table>(i)));
  }
  return {};
}

}  // namespace cordon::node
