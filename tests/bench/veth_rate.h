#pragma once
// Small UDP packets per second over veth pairs between namespaces, all peers in the same call, run by run in
// turn.

#include <string>
#include <vector>

#include "base/result.h"
#include "node/filter/kernel_filter.h"
#include "tests/bench/report.h"

namespace cordon::bench {

struct Rates {
  Sample unfiltered, cordon, nftables, chain;
  std::string chain_by;                              ///< the tool that made the chain
  std::vector<double> cordon_ratio, nftables_ratio;  ///< to the unfiltered run of the same turn
};

/// `filter` holds a state of `grants` (world.h) and is attached to one of the pairs; another pair's receiver
/// has an nftables set with as many elements and conntrack, a fourth's a plain chain of 1000 rules.
/// Namespaces are named c-bench-*, and removed again.
Result<Rates> measure_veth(node::KernelFilter& filter, unsigned grants);

}  // namespace cordon::bench
