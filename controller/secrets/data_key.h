#pragma once
// The key that seals every secret: 32 random bytes as hex in a file 0600.

#include <filesystem>

#include "base/bytes.h"
#include "base/result.h"

namespace cordon::controller {

/// The key in `file`, made when there is none: of several processes that make it at once, one wins and all
/// get that one. A file that others may read is refused.
Result<Bytes> open_data_key(const std::filesystem::path& file);

/// The key in `file`, which must exist.
Result<Bytes> read_data_key(const std::filesystem::path& file);

}  // namespace cordon::controller
