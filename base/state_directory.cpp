#include "base/state_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

namespace cordon {

Result<StateDirectory> StateDirectory::open(const std::filesystem::path& path, std::string_view holder,
                                            std::chrono::milliseconds patience) {
  std::error_code error;
  const bool made = std::filesystem::create_directories(path, error);
  if (error) return fail_errno("can't make " + path.string(), error.value(), "set state_directory");
  if (made) std::filesystem::permissions(path, std::filesystem::perms::owner_all, error);
  const std::filesystem::path lock = path / "lock";
  const int fd = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    return fail_errno("can't write to " + path.string(), errno, "run as the user that owns this directory");
  }
  const auto until = std::chrono::steady_clock::now() + patience;
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (std::chrono::steady_clock::now() >= until) {
      ::close(fd);
      return fail(ErrorCode::conflict, fmt::format("another {} uses {}", holder, path.string()),
                  "stop it first");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return StateDirectory(fd);
}

StateDirectory::~StateDirectory() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace cordon
