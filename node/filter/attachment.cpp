#include "node/filter/attachment.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "node/filter/clsact.h"

namespace cordon::node {
namespace {

std::string interface_name(unsigned ifindex) {
  char name[IF_NAMESIZE] = {};
  return ::if_indextoname(ifindex, name) != nullptr ? name : fmt::format("#{}", ifindex);
}

const char* direction_name(tcx::Hook hook) {
  return hook == tcx::Hook::ingress ? "ingress" : "egress";
}

/// Is the pin of a link with this id?
bool pins_link(const std::filesystem::path& pin, std::uint32_t id) {
  const Descriptor link(bpf_obj_get(pin.c_str()));
  tcx::LinkInfo info;
  return link && tcx::link_info(link.get(), info) && info.id == id;
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
  if (method_ == Method::clsact) return attach_clsact(program_fd);
  if (!adopt(program_fd)) CORDON_TRY(link_anew(program_fd));
  program_id_ = tcx::program_id(program_fd);
  return {};
}

std::filesystem::path TcAttachment::clsact_pin() const {
  std::string place = pin_.filename().string();
  if (place.starts_with("link-")) place.erase(0, 5);
  return pin_.parent_path() / fmt::format("clsact-{}-{}", ifindex_, place);
}

Result<> TcAttachment::attach_clsact(int program_fd) {
  CORDON_ASSIGN(const auto filters, clsact::filters(ifindex_, hook_));
  const auto held = std::ranges::find_if(filters, [](const auto& f) { return clsact::is_ours(f.handle); });
  const std::uint32_t handle = held == filters.end() ? clsact::kHandles[0] : held->handle;
  CORDON_TRY(clsact::put(ifindex_, hook_, handle, program_fd));
  for (const auto& f : filters)  // what a move left behind that didn't end
    if (clsact::is_ours(f.handle) && f.handle != handle)
      CORDON_TRY(clsact::remove(ifindex_, hook_, f.handle));
  method_ = Method::clsact;
  program_id_ = tcx::program_id(program_fd);
  program_ = Descriptor(::fcntl(program_fd, F_DUPFD_CLOEXEC, 0));
  return pin_over(program_fd, clsact_pin());
}

Result<> TcAttachment::move_first(int new_program_fd) {
  if (method_ == Method::clsact) {
    // Under a handle that is free it comes before the others of its priority; replaced it would stay behind
    // them.
    CORDON_ASSIGN(const auto filters, clsact::filters(ifindex_, hook_));
    const auto taken = [&](std::uint32_t handle) {
      return std::ranges::find(filters, handle, &clsact::Filter::handle) != filters.end();
    };
    if (!taken(clsact::kHandles[0]) || !taken(clsact::kHandles[1]))
      CORDON_TRY(
          clsact::put(ifindex_, hook_, clsact::kHandles[taken(clsact::kHandles[0]) ? 1 : 0], new_program_fd));
    return attach_clsact(new_program_fd);
  }
  Descriptor old = std::move(link_);
  auto moved = link_anew(new_program_fd);
  if (!moved) {
    link_ = std::move(old);
    return moved;
  }
  program_id_ = tcx::program_id(new_program_fd);
  return {};
}

PlaceFault TcAttachment::clsact_fault() const {
  const auto filters = clsact::filters(ifindex_, hook_);
  if (!filters) return PlaceFault::detached;
  const auto ours = std::ranges::find_if(*filters, [](const auto& f) { return clsact::is_ours(f.handle); });
  if (ours == filters->end()) return PlaceFault::detached;
  if (ours->program_id != program_id_) return PlaceFault::replaced;
  if (ours != filters->begin()) return PlaceFault::not_first;
  const Descriptor pinned(bpf_obj_get(clsact_pin().c_str()));
  return pinned && tcx::program_id(pinned.get()) == program_id_ ? PlaceFault::none : PlaceFault::not_pinned;
}

PlaceFault TcAttachment::tcx_fault() const {
  tcx::LinkInfo info;
  if (!link_ || !tcx::link_info(link_.get(), info) || info.ifindex != ifindex_) return PlaceFault::detached;
  if (info.program_id != program_id_) return PlaceFault::replaced;
  if (tcx::first_program(ifindex_, hook_) != program_id_) return PlaceFault::not_first;
  return pins_link(pin_, info.id) ? PlaceFault::none : PlaceFault::not_pinned;
}

PlaceFault TcAttachment::fault() const {
  return method_ == Method::clsact ? clsact_fault() : tcx_fault();
}

std::string TcAttachment::describe(PlaceFault fault) const {
  const std::string where = fmt::format("{} of '{}'", direction_name(hook_), interface_name(ifindex_));
  switch (fault) {
    case PlaceFault::none:
      break;
    case PlaceFault::detached:
      return "the filter is not attached to " + where;
    case PlaceFault::replaced:
      return "another program stands in the filter's place at " + where;
    case PlaceFault::not_first:
      return "the filter is not first at " + where;
    case PlaceFault::not_pinned:
      return "the filter is not pinned for " + where;
  }
  return {};
}

void TcAttachment::repin() {
  if (fault() != PlaceFault::not_pinned) return;
  (void)(method_ == Method::clsact ? pin_over(program_.get(), clsact_pin()) : pin_over(link_.get(), pin_));
}

Result<> TcAttachment::detach() {
  ::unlink(pin_.c_str());
  link_.reset();
  const bool clsact = ::unlink(clsact_pin().c_str()) == 0 || method_ == Method::clsact;
  if (!clsact) return {};
  for (std::uint32_t handle : clsact::kHandles) CORDON_TRY(clsact::remove(ifindex_, hook_, handle));
  program_.reset();
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
      bpf_link_update(link_.get(), program_fd, nullptr) == 0) {
    program_id_ = tcx::program_id(program_fd);
    return {};
  }
  Descriptor fresh(
      bpf_link_create(program_fd, cgroup.get(), static_cast<bpf_attach_type>(attach_type_), nullptr));
  if (!fresh)
    return fail_errno(fmt::format("can't attach {} to '{}'", name_, cgroup_.string()), errno,
                      "'[filter] cgroup' must name a cgroup2 directory");
  CORDON_TRY(pin_over(fresh.get(), pin_));
  link_ = std::move(fresh);
  program_id_ = tcx::program_id(program_fd);
  return {};
}

std::optional<std::string> CgroupAttachment::fault() const {
  tcx::LinkInfo info;
  if (!link_ || !tcx::link_info(link_.get(), info) || info.cgroup_id == 0)
    return fmt::format("{} is not attached to '{}'", name_, cgroup_.string());
  if (info.program_id != program_id_) return "another program stands in the place of " + name_;
  if (!pins_link(pin_, info.id)) return name_ + "'s link is not pinned";
  return std::nullopt;
}

void CgroupAttachment::detach() {
  ::unlink(pin_.c_str());
  link_.reset();
}

void CgroupAttachment::repin() {
  tcx::LinkInfo info;
  if (link_ && tcx::link_info(link_.get(), info) && !pins_link(pin_, info.id))
    (void)pin_over(link_.get(), pin_);
}

}  // namespace cordon::node
