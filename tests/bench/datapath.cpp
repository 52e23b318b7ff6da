// scripts/bench datapath: what the filter costs a packet, what is left of a link's traffic, and how long a
// state takes into the kernel. Root only.

#include <fmt/format.h>
#include <unistd.h>

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

/// Calls `measure` with a filter of its own, which has new tables and holds `grants`.
template <class Measure>
Result<> with_filter(unsigned grants, const Measure& measure) {
  node::FilterConfig config;
  config.sizes.flows = kFlows;
  config.pin_directory = fmt::format("/sys/fs/bpf/cordon-bench-{}-{}", ::getpid(), grants);
  CORDON_ASSIGN(auto filter, node::KernelFilter::open(config));
  const auto run = [&]() -> Result<> {
    const TimeBase base{.sent_boot_ns = system_clock().boot_ns(), .controller_time = system_clock().now()};
    CORDON_TRY(filter->replace(state_with(grants), base));
    CORDON_TRY(filter->confirm(base.sent_boot_ns));
    return measure(*filter);
  };
  auto measured = run();
  CORDON_TRY(filter->remove_all());
  return measured;
}

Result<> run_programs(Report& report, int empty, const Effort& effort) {
  std::vector<ProgramTimes> v4_times, v6_times;
  for (const unsigned grants : effort.grants) {
    for (const bool v4 : {true, false}) {
      CORDON_TRY(with_filter(grants, [&](const node::KernelFilter& filter) -> Result<> {
        CORDON_ASSIGN(const ProgramTimes times,
                      measure_programs(report, filter, grants, v4, empty, v4 && grants == kCloseLook));
        (v4 ? v4_times : v6_times).push_back(times);
        return {};
      }));
    }
  }
  const std::string against =
      fmt::format("{} against {}", in_words(effort.grants.back()), in_words(effort.grants.front()));
  report_flatness(report, v4_times.front(), v4_times.back(), "ipv4, " + against);
  report_flatness(report, v6_times.front(), v6_times.back(), "ipv6, " + against);
  return {};
}

Result<> run(Report& report, const Effort& effort) {
  CORDON_ASSIGN(const auto empty, load_empty_program());
  CORDON_TRY(run_programs(report, empty.get(), effort));
  CORDON_TRY(with_filter(kCloseLook, [&](node::KernelFilter& filter) -> Result<> {
    CORDON_TRY(measure_veth(report, filter, kCloseLook, empty.get(), effort));
    return measure_wireguard(report, filter, effort);
  }));
  return measure_loading(report, effort);
}

}  // namespace
}  // namespace cordon::bench

int main(int argc, char** argv) {
  const auto options = cordon::bench::parse_options(argc, argv);
  if (!options) return 2;
  cordon::bench::Report report("datapath", options->json);
  if (auto result = cordon::bench::run(report, options->effort); !result) {
    fmt::print(stderr, "bench datapath: {}\n", result.error().message());
    return 1;
  }
  return 0;
}
