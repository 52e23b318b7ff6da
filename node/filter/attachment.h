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

/// What is wrong with a place.
enum class PlaceFault { none, detached, replaced, not_first, not_pinned };

/// A program at the front of one direction of one interface: a tcx link, or clsact where the kernel has no
/// tcx. There the qdisc outlives the daemon by itself, and what is pinned is the program, as
/// clsact-IFINDEX-PLACE, so that the next daemon finds the place.
class TcAttachment {
 public:
  enum class Method { tcx, clsact };

  /// `pin` is of the link: DIRECTORY/link-PLACE.
  TcAttachment(std::filesystem::path pin, unsigned ifindex, tcx::Hook hook)
      : pin_(std::move(pin)), ifindex_(ifindex), hook_(hook) {}

  /// Adopts the pinned link when it is at this interface (its program is switched in one step), else makes
  /// one.
  Result<> attach(int program_fd);
  /// As `attach` with clsact, whatever the kernel has.
  Result<> attach_clsact(int program_fd);
  /// Another instance of the same program is put before all others, then the one that was there goes.
  Result<> move_first(int new_program_fd);

  PlaceFault fault() const;
  std::string describe(PlaceFault fault) const;
  void repin();  ///< when its pin is gone or is another's

  /// Also what an earlier process attached with clsact.
  Result<> detach();
  unsigned ifindex() const { return ifindex_; }
  tcx::Hook hook() const { return hook_; }
  std::uint32_t program_id() const { return program_id_; }

 private:
  bool adopt(int program_fd);
  Result<> link_anew(int program_fd);
  PlaceFault tcx_fault() const;
  PlaceFault clsact_fault() const;
  std::filesystem::path clsact_pin() const;

  std::filesystem::path pin_;
  unsigned ifindex_ = 0;
  tcx::Hook hook_ = tcx::Hook::ingress;
  Method method_ = Method::tcx;
  Descriptor link_;     ///< tcx
  Descriptor program_;  ///< clsact: what is pinned
  std::uint32_t program_id_ = 0;
};

/// A program at a cgroup, held by a pinned link. `name` is how messages call it: "the connect hook".
class CgroupAttachment {
 public:
  CgroupAttachment() = default;
  CgroupAttachment(std::string name, std::filesystem::path pin, std::filesystem::path cgroup, int attach_type)
      : name_(std::move(name)), pin_(std::move(pin)), cgroup_(std::move(cgroup)), attach_type_(attach_type) {}

  Result<> attach(int program_fd);
  /// What is wrong: not attached, its program replaced, not pinned; empty when all is well.
  std::optional<std::string> fault() const;
  void repin();
  void detach();  ///< also what an earlier process pinned

 private:
  std::string name_;
  std::filesystem::path pin_, cgroup_;
  int attach_type_ = 0;
  Descriptor link_;
  std::uint32_t program_id_ = 0;
};

/// Pins `fd` at `path` in one step, over what may be there.
Result<> pin_over(int fd, const std::filesystem::path& path);

}  // namespace cordon::node
