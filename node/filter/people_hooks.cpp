#include "node/filter/people_hooks.h"

#include <bpf/bpf.h>

namespace cordon::node {

std::vector<std::pair<CgroupAttachment, std::string>> people_hooks(const std::filesystem::path& pin_directory,
                                                                   const std::filesystem::path& cgroup) {
  std::vector<std::pair<CgroupAttachment, std::string>> out;
  const auto add = [&](const char* program, const char* called, int attach_type) {
    out.emplace_back(
        CgroupAttachment(called, pin_directory / ("link-" + std::string(program)), cgroup, attach_type),
        program);
  };
  add("bind_v4", "the bind hook", BPF_CGROUP_INET4_BIND);
  add("bind_v6", "the bind hook", BPF_CGROUP_INET6_BIND);
  add("sendmsg_v4", "the send hook", BPF_CGROUP_UDP4_SENDMSG);
  add("sendmsg_v6", "the send hook", BPF_CGROUP_UDP6_SENDMSG);
  return out;
}

}  // namespace cordon::node
