#pragma once
// A process's own directory, for one process at a time.

#include <chrono>
#include <filesystem>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace cordon {

/// Holds the lock on the directory (flock(2) of its file `lock`) as long as it lives.
class StateDirectory {
 public:
  /// Makes the directory (0700) if need be. `conflict`: "another `holder`" has it and didn't let go within
  /// `patience`, which blocks: one that was told to end may take a moment.
  static Result<StateDirectory> open(const std::filesystem::path& path, std::string_view holder,
                                     std::chrono::milliseconds patience = {});
  StateDirectory(StateDirectory&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  StateDirectory& operator=(StateDirectory&&) = delete;
  ~StateDirectory();

 private:
  explicit StateDirectory(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace cordon
