#include "node/filter/attachment.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>
#include <sys/stat.h>

#include <cerrno>

namespace cordon::node {
namespace {

constexpr std::uint32_t kClsactPriority = 1, kClsactHandle = 0xc0d0;

std::string interface_name(unsigned ifindex) {
  char name[IF_NAMESIZE] = {};
  return ::if_indextoname(ifindex, name) != nullptr ? name : fmt::format("#{}", ifindex);
}

const char* direction_name(tcx::Hook hook) {
  return hook == tcx::Hook::ingress ? "ingress" : "egress";
}

bpf_tc_hook clsact_hook(unsigned ifindex, tcx::Hook hook) {
  bpf_tc_hook out{};
  out.sz = sizeof out;
  out.ifindex = static_cast<int>(ifindex);
  out.attach_point = hook == tcx::Hook::ingress ? BPF_TC_INGRESS : BPF_TC_EGRESS;
  return out;
}

bpf_tc_opts clsact_options() {
  bpf_tc_opts out{};
  out.sz = sizeof out;
  out.handle = kClsactHandle;
  out.priority = kClsactPriority;
  return out;
}

}  // namespace

Result<> pin_over(int fd, const std::filesystem::path& path) {
  const std::string beside = path.string() + "-new";
  ::unlink(beside.c_str());
  if (bpf_obj_pin(fd, beside.c_str()) != 0)
    return fail_errno(fmt::format("can't pin '{}'", path.string()), errno,
                      "the directory must be on a bpf file system and belong to the daemon's user");
  if (::rename(beside.c_str(), path.c_str()) != 0) {
    const int error = errno;
    ::unlink(beside.c_str());
    return fail_errno(fmt::format("can't pin '{}'", path.string()), error);
  }
  return {};
}

bool TcAttachment::adopt(int program_fd) {
  if (!link_) link_ = Descriptor(bpf_obj_get(pin_.c_str()));
  tcx::LinkInfo info;
  if (!link_ || !tcx::link_info(link_.get(), info) || info.ifindex != ifindex_) return false;
  return bpf_link_update(link_.get(), program_fd, nullptr) == 0;
}

Result<> TcAttachment::link_anew(int program_fd) {
  Descriptor fresh(tcx::link_first(program_fd, ifindex_, hook_));
  if (!fresh && errno == EINVAL) return attach_clsact(program_fd);
  if (!fresh)
    return fail_errno(
        fmt::format("can't attach the filter to {} of '{}'", direction_name(hook_), interface_name(ifindex_)),
        errno);
  CORDON_TRY(pin_over(fresh.get(), pin_));
  link_ = std::move(fresh);
  return {};
}

Result<> TcAttachment::attach(int program_fd) {
  if (!adopt(program_fd)) CORDON_TRY(link_anew(program_fd));
  program_id_ = tcx::program_id(program_fd);
  return {};
}

Result<> TcAttachment::attach_clsact(int program_fd) {
  bpf_tc_hook hook = clsact_hook(ifindex_, hook_);
  bpf_tc_opts options = clsact_options();
  options.prog_fd = program_fd;
  options.flags = BPF_TC_F_REPLACE;
  int error = bpf_tc_hook_create(&hook);
  if (error == 0 || error == -EEXIST) error = bpf_tc_attach(&hook, &options);
  if (error != 0)
    return fail_errno(fmt::format("can't attach the filter to clsact {} of '{}'", direction_name(hook_),
                                  interface_name(ifindex_)),
                      -error);
  method_ = Method::clsact;
  program_id_ = tcx::program_id(program_fd);
  return {};
}

Result<> TcAttachment::move_first(int new_program_fd) {
  if (method_ == Method::clsact) return attach_clsact(new_program_fd);
  Descriptor old = std::move(link_);
  auto moved = link_anew(new_program_fd);
  if (!moved) {
    link_ = std::move(old);
    return moved;
  }
  program_id_ = tcx::program_id(new_program_fd);
  return {};
}

bool TcAttachment::is_attached() const {
  if (method_ == Method::clsact) {
    bpf_tc_hook hook = clsact_hook(ifindex_, hook_);
    bpf_tc_opts options = clsact_options();
    return bpf_tc_query(&hook, &options) == 0 && options.prog_id == program_id_;
  }
  tcx::LinkInfo info;
  return link_ && tcx::link_info(link_.get(), info) && info.ifindex == ifindex_;
}

std::optional<std::string> TcAttachment::fault() const {
  const auto where = [&] {
    return fmt::format("{} of '{}'", direction_name(hook_), interface_name(ifindex_));
  };
  if (!is_attached()) return "the filter is not attached to " + where();
  if (method_ == Method::clsact) return std::nullopt;
  if (tcx::first_program(ifindex_, hook_) != program_id_) return "the filter is not first at " + where();
  if (::access(pin_.c_str(), F_OK) != 0) return "the filter's link is not pinned for " + where();
  return std::nullopt;
}

void TcAttachment::repin() {
  if (method_ == Method::tcx && link_ && ::access(pin_.c_str(), F_OK) != 0) (void)pin_over(link_.get(), pin_);
}

Result<> TcAttachment::detach() {
  if (method_ == Method::clsact) {
    bpf_tc_hook hook = clsact_hook(ifindex_, hook_);
    bpf_tc_opts options = clsact_options();
    const int error = bpf_tc_detach(&hook, &options);
    if (error != 0 && error != -ENOENT && error != -ENODEV && error != -EINVAL)
      return fail_errno(fmt::format("can't detach from '{}'", interface_name(ifindex_)), -error);
    return {};
  }
  ::unlink(pin_.c_str());
  link_.reset();
  return {};
}

Result<> CgroupAttachment::attach(int program_fd) {
  if (!link_) link_ = Descriptor(bpf_obj_get(pin_.c_str()));
  const Descriptor cgroup(::open(cgroup_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat status{};
  if (!cgroup || ::fstat(cgroup.get(), &status) != 0)
    return fail_errno(fmt::format("can't open cgroup '{}'", cgroup_.string()), errno,
                      "'[filter] cgroup' must name a cgroup2 directory");
  tcx::LinkInfo info;
  // A cgroup's id is its inode number.
  if (link_ && tcx::link_info(link_.get(), info) && info.cgroup_id == status.st_ino &&
      bpf_link_update(link_.get(), program_fd, nullptr) == 0)
    return {};
  Descriptor fresh(
      bpf_link_create(program_fd, cgroup.get(), static_cast<bpf_attach_type>(attach_type_), nullptr));
  if (!fresh)
    return fail_errno(fmt::format("can't attach the connect hook to '{}'", cgroup_.string()), errno,
                      "'[filter] cgroup' must name a cgroup2 directory");
  CORDON_TRY(pin_over(fresh.get(), pin_));
  link_ = std::move(fresh);
  return {};
}

std::optional<std::string> CgroupAttachment::fault() const {
  tcx::LinkInfo info;
  if (!link_ || !tcx::link_info(link_.get(), info) || info.cgroup_id == 0)
    return fmt::format("the connect hook is not attached to '{}'", cgroup_.string());
  if (::access(pin_.c_str(), F_OK) != 0) return "the connect hook's link is not pinned";
  return std::nullopt;
}

void CgroupAttachment::repin() {
  if (link_ && ::access(pin_.c_str(), F_OK) != 0) (void)pin_over(link_.get(), pin_);
}

}  // namespace cordon::node
