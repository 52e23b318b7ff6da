#pragma once
// Files read whole within a limit and written so that a crash leaves the old or the new, never half.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cordon {

inline constexpr std::size_t kMaxFileBytes = 64u << 20;

/// The whole file, or an error that names it. More than `limit` bytes, and anything but a regular file, is
/// refused.
Result<std::string> read_file(const std::filesystem::path& path, std::size_t limit = kMaxFileBytes);

/// Writes beside, fsyncs, renames over, fsyncs the folder. `mode` as for open(2).
Result<> write_file(const std::filesystem::path& path, std::string_view content, unsigned mode = 0644);

/// Takes away what a write_file() that was killed left in a directory; for its only writer, before it writes.
void remove_unfinished(const std::filesystem::path& directory);

struct SourceFile {
  std::string name;  ///< as shown in diagnostics, relative to the directory asked for
  std::string text;
};

/// What one policy may be, wherever it comes from: in a folder, in a request, in the log.
inline constexpr std::size_t kMaxPolicyFiles = 1'000;
inline constexpr std::size_t kMaxPolicyBytes = 8u << 20;

/// All *.toml of a directory and its subdirectories, by name; a symlink loop, no file at all, more than
/// kMaxPolicyFiles files and more than kMaxPolicyBytes together are errors.
Result<std::vector<SourceFile>> read_policy_directory(const std::filesystem::path& directory);

}  // namespace cordon
