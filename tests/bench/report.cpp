#include "tests/bench/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace cordon::bench {

Sample sample_of(std::vector<double> runs) {
  std::ranges::sort(runs);
  return {.median = runs[runs.size() / 2], .least = runs.front(), .most = runs.back()};
}

void Report::add(const Row& row) {
  if (!json_) return add_text(row);
  // Names and goals are ours and hold nothing that JSON would escape.
  const auto number = [](const std::optional<double>& v) { return v ? fmt::format("{:.4g}", *v) : "null"; };
  const auto whole = [](double v) { return fmt::format("{:.0f}", v); };
  fmt::print("{{\"bench\": \"{}\", \"case\": \"{}\", \"metric\": \"{}\", \"value\": {}, \"unit\": \"{}\", ",
             bench_, row.name, row.metric, whole(row.sample.median), row.unit);
  fmt::print("\"baseline\": {}, \"ratio\": {}, \"goal\": {}, \"met\": {}, \"min\": {}, \"max\": {}}}\n",
             row.baseline ? whole(*row.baseline) : "null",
             number(row.baseline ? std::optional(row.sample.median / *row.baseline) : std::nullopt),
             row.goal.empty() ? "null" : fmt::format("\"{}\"", row.goal),
             row.met ? (*row.met ? "true" : "false") : "null", whole(row.sample.least),
             whole(row.sample.most));
  std::fflush(stdout);
}

void Report::add_text(const Row& row) {
  if (!headed_)
    fmt::print("{:<42} {:>12} {:>12} {:>12} {:<5} {:>7}  {}\n", bench_, "median", "min", "max", "unit",
               "ratio", "goal");
  headed_ = true;
  fmt::print("{:<42} {:>12.0f} {:>12.0f} {:>12.0f} {:<5} {:>7}  {}{}\n", row.name, row.sample.median,
             row.sample.least, row.sample.most, row.unit,
             row.baseline ? fmt::format("{:.2f}", row.sample.median / *row.baseline) : "", row.goal,
             row.met ? (*row.met ? " (met)" : " (MISSED)") : "");
  std::fflush(stdout);
}

}  // namespace cordon::bench
