// scripts/bench datapath: what the filter costs a packet, what is left of a link's traffic, and how long a
// state takes into the kernel. Root only.

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "node/filter/kernel_filter.h"
#include "tests/bench/effort.h"
#include "tests/bench/loading.h"
#include "tests/bench/program_rows.h"
#include "tests/bench/program_time.h"
#include "tests/bench/report.h"
#include "tests/bench/traffic_rows.h"
#include "tests/bench/world.h"

namespace cordon::bench {
namespace {

constexpr unsigned kCloseLook = 100'000;  ///< grants with which tables and links are measured too

/// With a filter of its own, so that each starts with new tables.
Result<> run_with(Report& report, unsigned grants, int empty, const Effort& effort) {
  node::FilterConfig config;
  config.sizes.flows = kFlows;
  config.pin_directory = fmt::format("/sys/fs/bpf/cordon-bench-{}-{}", ::getpid(), grants);
  CORDON_ASSIGN(auto filter, node::KernelFilter::open(config));
  const auto measure = [&]() -> Result<> {
    const TimeBase base{.sent_boot_ns = system_clock().boot_ns(), .controller_time = system_clock().now()};
    CORDON_TRY(filter->replace(state_with(grants), base));
    CORDON_TRY(filter->confirm(base.sent_boot_ns));
    CORDON_TRY(measure_programs(report, *filter, grants, empty, grants == kCloseLook));
    if (grants != kCloseLook) return {};
    CORDON_TRY(measure_veth(report, *filter, grants, empty, effort));
    return measure_wireguard(report, *filter, effort);
  };
  auto measured = measure();
  CORDON_TRY(filter->remove_all());
  return measured;
}

Result<> run(Report& report, const Effort& effort) {
  CORDON_ASSIGN(const auto empty, load_empty_program());
  for (unsigned grants : effort.grants) CORDON_TRY(run_with(report, grants, empty.get(), effort));
  return measure_loading(report, effort);
}

}  // namespace
}  // namespace cordon::bench

int main(int argc, char** argv) {
  const std::vector<std::string_view> arguments(argv + 1, argv + argc);
  const auto given = [&](std::string_view name) { return std::ranges::count(arguments, name); };
  if (given("--json") + given("--quick") != argc - 1) {
    fmt::print(stderr, "usage: bench_datapath [--json] [--quick]\n");
    return 2;
  }
  cordon::bench::Report report("datapath", given("--json") > 0);
  const auto effort = given("--quick") > 0 ? cordon::bench::Effort::quick() : cordon::bench::Effort{};
  if (auto result = cordon::bench::run(report, effort); !result) {
    fmt::print(stderr, "bench datapath: {}\n", result.error().message());
    return 1;
  }
  return 0;
}
