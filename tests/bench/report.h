#pragma once
// Results of a benchmark as a table for people or as one JSON object per line (CONTROL.md, "Benchmarks").

#include <optional>
#include <string>
#include <vector>

namespace cordon::bench {

/// Median of at least five runs, with its bounds.
struct Sample {
  double median = 0, least = 0, most = 0;
};
Sample sample_of(std::vector<double> runs);

struct Row {
  std::string name, metric, unit;
  Sample sample;
  std::optional<double> baseline;
  std::optional<double> ratio;  ///< to the baseline; unless given, of the two medians
  std::string goal;             ///< empty: none
  std::optional<bool> met;
};

class Report {
 public:
  Report(std::string bench, bool json) : bench_(std::move(bench)), json_(json) {}
  /// Prints the row at once.
  void add(Row row);

 private:
  void add_text(const Row& row);
  void add_json(const Row& row);
  std::string bench_;
  bool json_ = false;
  bool headed_ = false;
};

}  // namespace cordon::bench
