#pragma once
// The other ends that an isolated host may still talk to (ebpf/contain.bpf.h).

#include <cstdint>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace cordon::node {

/// Makes map `underlay_ends` hold exactly these ends of the protocol; those of other protocols stay.
Result<> write_ends(int map_fd, std::uint8_t protocol, const std::vector<Endpoint>& ends);

}  // namespace cordon::node
