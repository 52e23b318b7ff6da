#pragma once
// The filters of an interface's clsact qdisc at the front: for kernels without tcx (Linux 6.1).

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "node/filter/tcx.h"

namespace cordon::node::clsact {

/// Ours stand at the first priority under one of these handles: two, as a filter is put before another only
/// by being added after it.
inline constexpr std::uint32_t kHandles[] = {0xc0d0, 0xc0d1};
bool is_ours(std::uint32_t handle);

struct Filter {
  std::uint32_t handle = 0;
  std::uint32_t program_id = 0;
};
/// Of the first priority, in the order in which they run; none when there is no such qdisc.
Result<std::vector<Filter>> filters(unsigned ifindex, tcx::Hook hook);

/// Puts the program under the handle: in one step over what is there, else before all others. Makes the
/// qdisc.
Result<> put(unsigned ifindex, tcx::Hook hook, std::uint32_t handle, int program_fd);
/// What isn't there is no error.
Result<> remove(unsigned ifindex, tcx::Hook hook, std::uint32_t handle);

}  // namespace cordon::node::clsact
