// When flows last had a packet: a walk over the kernel's table, which only a host with sessions asks for.

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>

#include "ebpf/abi.h"
#include "node/filter/image.h"
#include "node/filter/kernel_filter.h"

namespace cordon::node {

Result<std::map<Address, BootNs>> KernelFilter::last_packets(const std::set<Address>& of) const {
  constexpr __u32 kBatch = 4096;
  std::map<Address, BootNs> last;
  std::vector<cordon_flow_key> keys(kBatch);
  std::vector<cordon_flow> flows(kBatch);
  const int fd = objects_->map("flows");
  __u32 cursor = 0;
  for (bool first = true;; first = false) {
    __u32 count = kBatch;
    const int error = bpf_map_lookup_batch(fd, first ? nullptr : &cursor, &cursor, keys.data(), flows.data(),
                                           &count, nullptr);
    const bool end = error != 0;
    if (end && errno != ENOENT) return fail_errno("can't read map 'flows'", errno);
    for (__u32 i = 0; i < count; ++i) {
      const bool origin_high = (flows[i].flags & CORDON_FLOW_ORIGIN_HIGH) != 0;
      const Address origin = from_abi(origin_high ? keys[i].high : keys[i].low);
      if (!of.contains(origin)) continue;
      BootNs& seen = last[origin];
      seen = std::max(seen, BootNs{flows[i].last_seen_ns});
    }
    if (end) return last;
  }
}

}  // namespace cordon::node
