#include "node/filter/tcx.h"

#include <bpf/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace cordon::node::tcx {
namespace {

constexpr std::uint32_t kBefore = 1u << 3;  // BPF_F_BEFORE; relative to nothing: before all

/// union bpf_attr for BPF_LINK_CREATE with attach type tcx.
struct LinkCreate {
  std::uint32_t program_fd, ifindex, attach_type, flags;
  std::uint32_t relative_fd, pad;
  std::uint64_t expected_revision;
};
static_assert(sizeof(LinkCreate) == 32);

/// union bpf_attr for BPF_PROG_QUERY.
struct Query {
  std::uint32_t ifindex, attach_type, query_flags, attach_flags;
  std::uint64_t program_ids;
  std::uint32_t count, pad;
  std::uint64_t program_attach_flags, link_ids, link_attach_flags, revision;
};
static_assert(sizeof(Query) == 64);

struct RawTcxLink {
  std::uint32_t ifindex, attach_type;
};
struct RawCgroupLink {
  std::uint64_t id;
};

/// struct bpf_link_info up to what we read.
struct RawLinkInfo {
  std::uint32_t type, id, program_id, pad;
  union {
    RawTcxLink tcx;
    RawCgroupLink cgroup;
    std::uint8_t room[64];
  };
};

template <class Attr>
long call(int command, Attr& attr) {
  return ::syscall(SYS_bpf, command, &attr, sizeof attr);
}

}  // namespace

int link_first(int program_fd, unsigned ifindex, Hook hook) {
  LinkCreate attr{};
  attr.program_fd = static_cast<std::uint32_t>(program_fd);
  attr.ifindex = ifindex;
  attr.attach_type = static_cast<std::uint32_t>(hook);
  attr.flags = kBefore;
  return static_cast<int>(call(BPF_LINK_CREATE, attr));
}

std::int64_t first_program(unsigned ifindex, Hook hook) {
  std::uint32_t ids[64] = {};
  Query attr{};
  attr.ifindex = ifindex;
  attr.attach_type = static_cast<std::uint32_t>(hook);
  attr.program_ids = reinterpret_cast<std::uint64_t>(ids);
  attr.count = 64;
  if (call(BPF_PROG_QUERY, attr) != 0) return errno == ENOENT ? 0 : -1;
  return attr.count == 0 ? 0 : ids[0];
}

bool link_info(int link_fd, LinkInfo& out) {
  RawLinkInfo raw{};
  __u32 size = sizeof raw;
  if (bpf_obj_get_info_by_fd(link_fd, &raw, &size) != 0) return false;
  out.id = raw.id;
  out.program_id = raw.program_id;
  out.ifindex = raw.tcx.ifindex;
  out.cgroup_id = raw.cgroup.id;
  return true;
}

std::uint32_t program_id(int program_fd) {
  bpf_prog_info info{};
  __u32 size = sizeof info;
  return bpf_obj_get_info_by_fd(program_fd, &info, &size) == 0 ? info.id : 0;
}

}  // namespace cordon::node::tcx
