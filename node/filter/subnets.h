#pragma once
// Table `subnets` (ebpf/gateway.bpf.h): which addresses outside the overlay are behind which gateway.

#include "base/result.h"
#include "node/filter/filter.h"

namespace cordon::node {

/// Makes map `subnets` hold exactly these. True: some of what it held may be forwarded no more, so flows are
/// to be asked again.
Result<bool> write_subnets(int map_fd, const Subnets& subnets);

}  // namespace cordon::node
