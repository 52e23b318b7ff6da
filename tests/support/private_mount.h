#pragma once
// A small file system of a test's own: seen by this process alone, gone with it. Needs root.

#include <sched.h>
#include <sys/mount.h>

#include <filesystem>
#include <string>

namespace cordon::test {

/// False when this process may not mount. The mount name space is left private from then on.
inline bool mount_small(const std::filesystem::path& where, std::size_t bytes) {
  if (::unshare(CLONE_NEWNS) != 0) return false;
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  return ::mount("tmpfs", where.c_str(), "tmpfs", 0, ("size=" + std::to_string(bytes)).c_str()) == 0;
}

inline bool make_read_only(const std::filesystem::path& where) {
  return ::mount(nullptr, where.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0;
}

inline void unmount(const std::filesystem::path& where) {
  ::umount2(where.c_str(), MNT_DETACH);
}

}  // namespace cordon::test
