#include "tests/bench/effort.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <string_view>

namespace cordon::bench {

std::optional<Options> parse_options(int argc, char** argv) {
  const std::vector<std::string_view> arguments(argv + 1, argv + argc);
  const auto given = [&](std::string_view name) { return std::ranges::count(arguments, name); };
  if (given("--json") + given("--quick") != argc - 1) {
    fmt::print(stderr, "usage: {} [--json] [--quick]\n", argv[0]);
    return std::nullopt;
  }
  return Options{.json = given("--json") > 0, .effort = given("--quick") > 0 ? Effort::quick() : Effort{}};
}

}  // namespace cordon::bench
