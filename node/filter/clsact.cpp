#include "node/filter/clsact.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "node/filter/descriptor.h"

namespace cordon::node::clsact {
namespace {

constexpr std::uint32_t kFirstPriority = 1;

bpf_tc_hook tc_hook(unsigned ifindex, tcx::Hook hook) {
  bpf_tc_hook out{};
  out.sz = sizeof out;
  out.ifindex = static_cast<int>(ifindex);
  out.attach_point = hook == tcx::Hook::ingress ? BPF_TC_INGRESS : BPF_TC_EGRESS;
  return out;
}

bpf_tc_opts tc_options(std::uint32_t handle) {
  bpf_tc_opts out{};
  out.sz = sizeof out;
  out.handle = handle;
  out.priority = kFirstPriority;
  return out;
}

std::string where(unsigned ifindex, tcx::Hook hook) {
  char name[IF_NAMESIZE] = {};
  return fmt::format("{} of '{}'", hook == tcx::Hook::ingress ? "ingress" : "egress",
                     ::if_indextoname(ifindex, name) != nullptr ? name : fmt::format("#{}", ifindex));
}

struct DumpRequest {
  nlmsghdr header{};
  tcmsg body{};
};

/// The attribute's payload when it has at least `size` bytes.
const void* payload(const rtattr* attribute, std::size_t size) {
  return RTA_PAYLOAD(attribute) >= size ? RTA_DATA(attribute) : nullptr;
}

std::uint32_t u32_of(const rtattr* attribute) {
  std::uint32_t value = 0;
  if (const void* data = payload(attribute, sizeof value)) std::memcpy(&value, data, sizeof value);
  return value;
}

void add_filter(const nlmsghdr* message, std::vector<Filter>& out) {
  const auto* body = static_cast<const tcmsg*>(NLMSG_DATA(message));
  Filter filter{.handle = body->tcm_handle, .program_id = 0};
  std::uint32_t chain = 0;
  int left = static_cast<int>(message->nlmsg_len) - static_cast<int>(NLMSG_LENGTH(sizeof *body));
  for (const auto* a =
           reinterpret_cast<const rtattr*>(reinterpret_cast<const char*>(body) + NLMSG_ALIGN(sizeof *body));
       RTA_OK(a, left); a = RTA_NEXT(a, left)) {
    if (a->rta_type == TCA_CHAIN) chain = u32_of(a);
    if ((a->rta_type & NLA_TYPE_MASK) != TCA_OPTIONS) continue;
    int inner_left = static_cast<int>(RTA_PAYLOAD(a));
    for (const auto* b = static_cast<const rtattr*>(RTA_DATA(a)); RTA_OK(b, inner_left);
         b = RTA_NEXT(b, inner_left))
      if (b->rta_type == TCA_BPF_ID) filter.program_id = u32_of(b);
  }
  // A priority announces itself with handle 0; other chains are only reached by a jump.
  if (filter.handle != 0 && chain == 0) out.push_back(filter);
}

}  // namespace

bool is_ours(std::uint32_t handle) {
  return std::ranges::find(kHandles, handle) != std::end(kHandles);
}

Result<std::vector<Filter>> filters(unsigned ifindex, tcx::Hook hook) {
  const auto failed = [&] { return fail_errno("can't list the filters at " + where(ifindex, hook), errno); };
  const Descriptor socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  DumpRequest request;
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETTFILTER;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.tcm_family = AF_UNSPEC;
  request.body.tcm_ifindex = static_cast<int>(ifindex);
  request.body.tcm_parent =
      TC_H_MAKE(TC_H_CLSACT, hook == tcx::Hook::ingress ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
  request.body.tcm_info = TC_H_MAKE(kFirstPriority << 16, 0);
  if (!socket || ::send(socket.get(), &request, sizeof request, 0) < 0) return failed();
  std::vector<Filter> out;
  alignas(nlmsghdr) char buffer[16384];
  while (true) {
    const ssize_t got = ::recv(socket.get(), buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return failed();
    auto left = static_cast<std::uint32_t>(got);
    for (auto* m = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
      if (m->nlmsg_type == NLMSG_DONE) return out;
      if (m->nlmsg_type == NLMSG_ERROR) {
        errno = -static_cast<const nlmsgerr*>(NLMSG_DATA(m))->error;
        if (errno == EINVAL || errno == ENODEV || errno == ENOENT) return out;  // no such qdisc or interface
        return failed();
      }
      if (m->nlmsg_type == RTM_NEWTFILTER) add_filter(m, out);
    }
  }
}

Result<> put(unsigned ifindex, tcx::Hook hook, std::uint32_t handle, int program_fd) {
  bpf_tc_hook at = tc_hook(ifindex, hook);
  bpf_tc_opts options = tc_options(handle);
  options.prog_fd = program_fd;
  options.flags = BPF_TC_F_REPLACE;
  int error = bpf_tc_hook_create(&at);
  if (error == 0 || error == -EEXIST) error = bpf_tc_attach(&at, &options);
  if (error != 0) return fail_errno("can't attach the filter to clsact " + where(ifindex, hook), -error);
  return {};
}

Result<> remove(unsigned ifindex, tcx::Hook hook, std::uint32_t handle) {
  bpf_tc_hook at = tc_hook(ifindex, hook);
  bpf_tc_opts options = tc_options(handle);
  const int error = bpf_tc_detach(&at, &options);
  if (error != 0 && error != -ENOENT && error != -ENODEV && error != -EINVAL)
    return fail_errno("can't detach the filter from clsact " + where(ifindex, hook), -error);
  return {};
}

}  // namespace cordon::node::clsact
