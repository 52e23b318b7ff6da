#pragma once
// What the filter costs a packet, by BPF_PROG_TEST_RUN, above a program that does nothing.

#include <string>

#include "base/result.h"
#include "node/filter/kernel_filter.h"
#include "tests/bench/report.h"

namespace cordon::bench {

/// Of `flows` in the filters that are measured.
inline constexpr std::uint32_t kFlows = 1u << 18;

/// "100k grants".
std::string in_words(unsigned grants);

/// Known flow, new flow and denial, IPv4 and IPv6. `filter` holds a state of `grants` (world.h).
/// `with_table`: also where a new flow's time goes.
Result<> measure_programs(Report& report, const node::KernelFilter& filter, unsigned grants,
                          int empty_program, bool with_table);

}  // namespace cordon::bench
