#pragma once
// How long a state takes into the kernel, read back and verified.

#include "base/result.h"
#include "tests/bench/effort.h"
#include "tests/bench/report.h"

namespace cordon::bench {

/// effort.many_grants into empty maps, one change among them, and all of them again.
Result<> measure_loading(Report& report, const Effort& effort);

}  // namespace cordon::bench
