#pragma once
// System calls that Debian's headers don't know yet: tcx (Linux 6.6), by number. All else in node/filter uses
// libbpf.

#include <cstdint>

namespace cordon::node::tcx {

/// BPF_TCX_INGRESS and BPF_TCX_EGRESS of enum bpf_attach_type.
enum class Hook : std::uint32_t { ingress = 46, egress = 47 };

/// A link of the program at the front of the interface's chain: its descriptor, or -1 and errno; EINVAL on a
/// kernel that has no tcx.
int link_first(int program_fd, unsigned ifindex, Hook hook);

/// Id of the program that runs first, 0 when there is none, -1 and errno on failure.
std::int64_t first_program(unsigned ifindex, Hook hook);

/// What a link of any kind says of itself.
struct LinkInfo {
  std::uint32_t id = 0, program_id = 0;
  std::uint32_t ifindex = 0;    ///< of a tcx link; 0 once its interface is gone
  std::uint64_t cgroup_id = 0;  ///< of a cgroup link
};
/// False and errno on failure.
bool link_info(int link_fd, LinkInfo& out);

/// Id of a loaded program; 0 and errno on failure.
std::uint32_t program_id(int program_fd);

}  // namespace cordon::node::tcx
