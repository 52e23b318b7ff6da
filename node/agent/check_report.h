#pragma once
// Which checks of this machine pass, as whoever checks it wrote them to a file: one name a line, "#" begins a
// comment. Cordon doesn't check them itself; it takes the file's word, as the controller takes the node's.

#include <sys/types.h>

#include <filesystem>
#include <set>
#include <string>

#include "base/result.h"
#include "base/time.h"

namespace cordon::node {

/// The names in `path`. Refused: a file that others than root and `user` may write, one that wasn't written
/// within `max_age` before `now` (its writer has stopped), more than 64 names, names that are none.
Result<std::set<std::string>> read_check_report(const std::filesystem::path& path, Seconds max_age,
                                                Timestamp now, uid_t user);

}  // namespace cordon::node
