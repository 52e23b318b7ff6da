#pragma once
// One program at one place, held by a pinned link, so that it outlives the daemon and is switched without a
// gap.

#include <filesystem>
#include <optional>
#include <string>

#include "base/result.h"
#include "node/filter/descriptor.h"
#include "node/filter/tcx.h"

namespace cordon::node {

/// A program at the front of one direction of one interface: a tcx link, or clsact where the kernel has no
/// tcx (then nothing is pinned: the qdisc itself outlives the daemon).
class TcAttachment {
 public:
  enum class Method { tcx, clsact };

  TcAttachment(std::filesystem::path pin, unsigned ifindex, tcx::Hook hook)
      : pin_(std::move(pin)), ifindex_(ifindex), hook_(hook) {}

  /// Adopts the pinned link when it is at this interface (its program is switched in one step), else makes
  /// one.
  Result<> attach(int program_fd);
  /// As `attach` with clsact, whatever the kernel has.
  Result<> attach_clsact(int program_fd);
  /// Another instance of the same program is put before all others, then the one that was there goes.
  Result<> move_first(int new_program_fd);

  /// What is wrong: not attached, not first, not pinned; empty when all is well.
  std::optional<std::string> fault() const;
  bool is_attached() const;  ///< somewhere in the chain
  void repin();              ///< when its pin is gone

  Result<> detach();
  unsigned ifindex() const { return ifindex_; }
  std::uint32_t program_id() const { return program_id_; }

 private:
  bool adopt(int program_fd);
  Result<> link_anew(int program_fd);

  std::filesystem::path pin_;
  unsigned ifindex_ = 0;
  tcx::Hook hook_ = tcx::Hook::ingress;
  Method method_ = Method::tcx;
  Descriptor link_;
  std::uint32_t program_id_ = 0;
};

/// A program at a cgroup, held by a pinned link.
class CgroupAttachment {
 public:
  CgroupAttachment() = default;
  CgroupAttachment(std::filesystem::path pin, std::filesystem::path cgroup, int attach_type)
      : pin_(std::move(pin)), cgroup_(std::move(cgroup)), attach_type_(attach_type) {}

  Result<> attach(int program_fd);
  std::optional<std::string> fault() const;
  void repin();

 private:
  std::filesystem::path pin_, cgroup_;
  int attach_type_ = 0;
  Descriptor link_;
};

/// Pins `fd` at `path` in one step, over what may be there.
Result<> pin_over(int fd, const std::filesystem::path& path);

}  // namespace cordon::node
