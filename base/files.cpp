#include "base/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "base/bytes.h"

namespace cordon {
namespace {

constexpr std::string_view kUnfinished = ".tmp";

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

Result<> write_all(int fd, std::string_view content, const std::string& name) {
  while (!content.empty()) {
    const ssize_t count = ::write(fd, content.data(), content.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno(fmt::format("can't write '{}'", name), errno);
    content.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

/// Makes a rename in `folder` outlive a power cut.
Result<> sync_folder(const std::filesystem::path& folder) {
  const FileDescriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0 || ::fsync(fd.get()) != 0) {
    return fail_errno(fmt::format("can't sync the folder '{}'", folder.string()), errno);
  }
  return {};
}

Result<> write_and_sync(const std::string& name, std::string_view content, unsigned mode) {
  const FileDescriptor fd(::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
  if (fd.get() < 0) return fail_errno(fmt::format("can't create '{}'", name), errno);
  CORDON_TRY(write_all(fd.get(), content, name));
  if (::fsync(fd.get()) != 0) return fail_errno(fmt::format("can't sync '{}'", name), errno);
  return {};
}

}  // namespace

Result<std::string> read_file(const std::filesystem::path& path, std::size_t limit) {
  // O_NONBLOCK: a FIFO must be refused, not waited for.
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (fd.get() < 0) {
    const int reason = errno;
    auto error = fail_errno(fmt::format("can't open '{}'", path.string()), reason);
    if (reason == ENOENT) error.error().code = ErrorCode::not_found;
    return error;
  }
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0)
    return fail_errno(fmt::format("can't read '{}'", path.string()), errno);
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorCode::invalid, fmt::format("'{}' is not a regular file", path.string()));
  }
  const auto too_large = [&] {
    return fail(ErrorCode::invalid, fmt::format("'{}' has more than {} bytes", path.string(), limit));
  };
  if (static_cast<std::uint64_t>(status.st_size) > limit)
    return too_large();  // before memory is taken for it
  std::string out;
  std::array<char, 65536> chunk;
  while (true) {
    const ssize_t count = ::read(fd.get(), chunk.data(), chunk.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno(fmt::format("can't read '{}'", path.string()), errno);
    if (count == 0) return out;
    if (static_cast<std::size_t>(count) > limit - out.size()) return too_large();
    out.append(chunk.data(), static_cast<std::size_t>(count));
  }
}

Result<> write_file(const std::filesystem::path& path, std::string_view content, unsigned mode) {
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const std::string beside =
      (folder / fmt::format(".{}.{}{}", path.filename().string(), to_hex(random_bytes(8)), kUnfinished))
          .string();
  auto done = write_and_sync(beside, content, mode);
  if (done && ::rename(beside.c_str(), path.c_str()) != 0) {
    done = fail_errno(fmt::format("can't replace '{}'", path.string()), errno);
  }
  if (!done) {
    ::unlink(beside.c_str());
    return done;
  }
  return sync_folder(folder);
}

void remove_unfinished(const std::filesystem::path& directory) {
  namespace fs = std::filesystem;
  std::error_code listed;
  for (auto it = fs::directory_iterator(directory, listed); !listed && it != fs::directory_iterator();
       it.increment(listed)) {
    const std::string name = it->path().filename().string();
    std::error_code ignored;  // it is tried again at the next start
    if (name.starts_with('.') && name.ends_with(kUnfinished)) fs::remove(it->path(), ignored);
  }
}

}  // namespace cordon
