#pragma once
// The controller's own directory, for one process at a time.

#include <filesystem>

#include "base/result.h"

namespace cordon::controller {

/// Holds the lock on the directory as long as it lives.
class StateDirectory {
 public:
  /// Makes the directory (0700) if need be; `conflict`: another process uses it.
  static Result<StateDirectory> open(const std::filesystem::path& path);
  StateDirectory(StateDirectory&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  StateDirectory& operator=(StateDirectory&&) = delete;
  ~StateDirectory();

 private:
  explicit StateDirectory(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace cordon::controller
