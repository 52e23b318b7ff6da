#pragma once
// How much is measured.

#include <chrono>
#include <optional>
#include <vector>

namespace cordon::bench {

struct Effort {
  int runs = 9;  ///< of each measurement; the median is told
  std::chrono::milliseconds time{250};
  std::vector<unsigned> grants{10, 1000, 100'000, 2'000'000};
  unsigned many_grants = 1'000'000;

  /// `--quick`: for a look.
  static Effort quick() {
    return {
        .runs = 3, .time = std::chrono::milliseconds(150), .grants = {10, 100'000}, .many_grants = 1'000'000};
  }
};

struct Options {
  bool json = false;
  Effort effort;
};
/// From `[--json] [--quick]`; none, with the usage on standard error, for anything else.
std::optional<Options> parse_options(int argc, char** argv);

}  // namespace cordon::bench
