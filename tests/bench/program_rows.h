#pragma once
// What the filter costs a packet, by BPF_PROG_TEST_RUN, above a program that does nothing.

#include <string>

#include "base/result.h"
#include "node/filter/kernel_filter.h"
#include "tests/bench/report.h"

namespace cordon::bench {

/// Of `flows` in the filters that are measured.
inline constexpr std::uint32_t kFlows = 1u << 18;

/// Ends every flow.
Result<> forget_flows(const node::KernelFilter& filter);

/// "100k grants".
std::string in_words(unsigned grants);

/// Medians in ns.
struct ProgramTimes {
  double known = 0, fresh = 0;
};

/// Known flow, new flow and denial of a family. `filter` holds a state of `grants` (world.h) and has had no
/// flow yet. `with_table`: also where a new flow's time goes.
Result<ProgramTimes> measure_programs(Report& report, const node::KernelFilter& filter, unsigned grants,
                                      bool v4, int empty_program, bool with_table);
/// The same paths with few and with many grants.
void report_flatness(Report& report, const ProgramTimes& few, const ProgramTimes& many,
                     const std::string& suffix);

}  // namespace cordon::bench
