#pragma once
// What is left of a link's traffic behind the filter, and behind what else people use, turn by turn in one
// run.

#include "base/result.h"
#include "node/filter/kernel_filter.h"
#include "tests/bench/effort.h"
#include "tests/bench/report.h"

namespace cordon::bench {

/// Over veth: nothing at all, an empty program, the filter, nftables with sets and conntrack, a chain of
/// iptables. `filter` holds a state of `grants` (world.h); the sets have as many elements. Namespaces are
/// named c-bench-*, and removed again.
Result<> measure_veth(Report& report, node::KernelFilter& filter, unsigned grants, int empty_program,
                      const Effort& effort);
/// Through wireguard-go, with the filter at the receiver's tunnel and without.
Result<> measure_wireguard(Report& report, node::KernelFilter& filter, const Effort& effort);

}  // namespace cordon::bench
