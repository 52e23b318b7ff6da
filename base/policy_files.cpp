// read_policy_directory() of base/files.h.

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/files.h"

namespace cordon {
namespace {

namespace fs = std::filesystem;

using Inode = std::pair<dev_t, ino_t>;

// Links to folders are followed, so a few of them can make endless trees: the walk is bounded.
constexpr std::size_t kMaxDepth = 32;
constexpr std::size_t kMaxEntries = 100'000;

/// The walk: what was gathered, and the folders that it is inside of.
struct Walk {
  const fs::path& root;
  std::vector<SourceFile> files{};
  std::vector<Inode> inside{};
  std::size_t entries = 0;
  std::size_t bytes = 0;

  Result<> folder(const fs::path& path);
  Result<> entry(const fs::path& path);
  Result<> file(const fs::path& path);
};

Result<> Walk::file(const fs::path& path) {
  auto text = read_file(path, kMaxPolicyBytes);
  std::error_code unknown;
  if (!text && text.error().code == ErrorCode::invalid && text.error().hint.empty())
    text.error().hint = fs::is_regular_file(path, unknown)
                            ? "a policy has that many at most, in all its files"
                            : "take it away";
  if (!text) return std::unexpected(std::move(text).error());
  bytes += text->size();
  if (bytes > kMaxPolicyBytes || files.size() == kMaxPolicyFiles) {
    return fail(ErrorCode::invalid,
                bytes > kMaxPolicyBytes
                    ? fmt::format("the files of '{}' have more than {} bytes together", root.string(),
                                  kMaxPolicyBytes)
                    : fmt::format("'{}' holds more than {} policy files", root.string(), kMaxPolicyFiles),
                "one policy is all *.toml of the folder: move away what isn't part of it");
  }
  files.push_back({.name = path.lexically_relative(root).string(), .text = *std::move(text)});
  return {};
}

Result<> Walk::entry(const fs::path& path) {
  if (++entries > kMaxEntries) {
    return fail(ErrorCode::invalid, fmt::format("'{}' holds more than {} files", root.string(), kMaxEntries));
  }
  struct stat status{};
  const bool found = ::stat(path.c_str(), &status) == 0;
  if (!found && errno == ELOOP) return fail_errno(fmt::format("can't follow '{}'", path.string()), errno);
  if (found && S_ISDIR(status.st_mode)) return folder(path);
  if (path.extension() != ".toml") return {};
  return file(path);
}

Result<> Walk::folder(const fs::path& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0)
    return fail_errno(fmt::format("can't open '{}'", path.string()), errno);
  const Inode here{status.st_dev, status.st_ino};
  if (std::ranges::find(inside, here) != inside.end() || inside.size() >= kMaxDepth) {
    return fail(ErrorCode::invalid,
                fmt::format("the folders at '{}' form a loop or are too deep", path.string()),
                "remove the symbolic link that leads back");
  }
  std::error_code code;
  std::vector<fs::path> children;
  for (fs::directory_iterator it(path, code), end; !code && it != end; it.increment(code)) {
    children.push_back(it->path());
  }
  if (code) return fail(ErrorCode::io, fmt::format("can't list '{}': {}", path.string(), code.message()));
  inside.push_back(here);
  for (const auto& child : children) CORDON_TRY(entry(child));
  inside.pop_back();
  return {};
}

}  // namespace

Result<std::vector<SourceFile>> read_policy_directory(const fs::path& directory) {
  Walk walk{.root = directory};
  CORDON_TRY(walk.folder(directory));
  if (walk.files.empty()) {
    return fail(ErrorCode::not_found, fmt::format("'{}' holds no policy", directory.string()),
                "policies are files that end in .toml");
  }
  std::ranges::sort(walk.files, {}, &SourceFile::name);
  return std::move(walk.files);
}

}  // namespace cordon
