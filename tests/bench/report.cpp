#include "tests/bench/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace cordon::bench {
namespace {

/// Whole, or where that would say little with three digits.
std::string number(double v) {
  return std::abs(v) >= 100 || v == 0 ? fmt::format("{:.0f}", v) : fmt::format("{:.3g}", v);
}

}  // namespace

Sample sample_of(std::vector<double> runs) {
  std::ranges::sort(runs);
  return {.median = runs[runs.size() / 2], .least = runs.front(), .most = runs.back()};
}

void Report::add(Row row) {
  if (!row.ratio && row.baseline && *row.baseline != 0) row.ratio = row.sample.median / *row.baseline;
  json_ ? add_json(row) : add_text(row);
  std::fflush(stdout);
}

void Report::add_json(const Row& row) {
  // Names and goals are ours and hold nothing that JSON would escape.
  fmt::print("{{\"bench\": \"{}\", \"case\": \"{}\", \"metric\": \"{}\", \"value\": {}, \"unit\": \"{}\", ",
             bench_, row.name, row.metric, number(row.sample.median), row.unit);
  fmt::print(
      "\"baseline\": {}, \"ratio\": {}, \"goal\": {}, \"met\": {}, \"min\": {}, \"max\": {}}}\n",
      row.baseline ? number(*row.baseline) : "null", row.ratio ? fmt::format("{:.4g}", *row.ratio) : "null",
      row.goal.empty() ? "null" : fmt::format("\"{}\"", row.goal),
      row.met ? (*row.met ? "true" : "false") : "null", number(row.sample.least), number(row.sample.most));
}

void Report::add_text(const Row& row) {
  if (!headed_)
    fmt::print("{:>7}  {:<50} {:>11} {:>11} {:>11} {:<6} {}\n", "ratio", bench_, "median", "min", "max",
               "unit", "goal");
  headed_ = true;
  fmt::print("{:>7}  {:<50} {:>11} {:>11} {:>11} {:<6} {}{}\n",
             row.ratio ? fmt::format("{:.3g}", *row.ratio) : "", row.name, number(row.sample.median),
             number(row.sample.least), number(row.sample.most), row.unit, row.goal,
             row.met ? (*row.met ? " (met)" : " (MISSED)") : "");
}

}  // namespace cordon::bench
