#include "node/agent/check_report.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "proto/canonical_json.h"

namespace cordon::node {
namespace {

constexpr std::size_t kMostBytes = 16u << 10;
constexpr std::size_t kMostChecks = 64;
constexpr std::size_t kLongestCheck = 63;
constexpr Seconds kAhead{60};  // of a file's time; clocks are set

class File {
 public:
  explicit File(const std::filesystem::path& path)
      : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

Timestamp written_at(const struct stat& status) {
  return Timestamp(std::chrono::seconds(status.st_mtim.tv_sec) +
                   std::chrono::microseconds(status.st_mtim.tv_nsec / 1000));
}

Result<> check_file(const struct stat& status, Seconds max_age, Timestamp now, uid_t user) {
  if (!S_ISREG(status.st_mode)) return fail(ErrorCode::invalid, "it is no regular file");
  if ((status.st_uid != 0 && status.st_uid != user) || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return fail(ErrorCode::forbidden, "others than root and the daemon's user may write it",
                "chown root and chmod 0644");
  }
  const Timestamp written = written_at(status);
  if (written > now + kAhead) return fail(ErrorCode::invalid, "it was written in the future");
  if (now - written >= max_age) {
    return fail(ErrorCode::invalid,
                fmt::format("it was last written {} ago",
                            format_duration(std::chrono::floor<std::chrono::seconds>(now - written))),
                fmt::format("write it anew every {} at least", format_duration(max_age)));
  }
  return {};
}

Result<std::string> read_all(int fd) {
  std::string text(kMostBytes + 1, '\0');
  std::size_t length = 0;
  while (length < text.size()) {
    const ssize_t got = ::read(fd, text.data() + length, text.size() - length);
    if (got < 0) return fail_errno("can't be read", errno);
    if (got == 0) break;
    length += static_cast<std::size_t>(got);
  }
  if (length > kMostBytes) return fail(ErrorCode::invalid, "it is longer than 16 KiB");
  text.resize(length);
  return text;
}

std::string_view trimmed(std::string_view line) {
  line = line.substr(0, line.find('#'));
  const std::size_t first = line.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return line.substr(first, line.find_last_not_of(" \t\r") - first + 1);
}

Result<std::set<std::string>> names_in(std::string_view text) {
  std::set<std::string> names;
  for (unsigned number = 1; !text.empty(); ++number) {
    const std::string_view name = trimmed(text.substr(0, text.find('\n')));
    text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
    if (name.empty()) continue;
    if (!wire::is_id(name, kLongestCheck)) {
      return fail(ErrorCode::invalid, fmt::format("line {} is no check's name", number),
                  "one name a line: 1 to 63 letters, digits, '.', '_' or '-'");
    }
    names.emplace(name);
    if (names.size() > kMostChecks) return fail(ErrorCode::invalid, "it names more than 64 checks");
  }
  return names;
}

Result<std::set<std::string>> read(const std::filesystem::path& path, Seconds max_age, Timestamp now,
                                   uid_t user) {
  const File file(path);
  struct stat status{};
  if (file.fd() < 0 || ::fstat(file.fd(), &status) != 0) return fail_errno("can't be opened", errno);
  CORDON_TRY(check_file(status, max_age, now, user));
  CORDON_ASSIGN(const std::string text, read_all(file.fd()));
  return names_in(text);
}

}  // namespace

Result<std::set<std::string>> read_check_report(const std::filesystem::path& path, Seconds max_age,
                                                Timestamp now, uid_t user) {
  auto names = read(path, max_age, now, user);
  if (!names) return std::unexpected(in_context(std::move(names).error(), path.string()));
  return names;
}

}  // namespace cordon::node
