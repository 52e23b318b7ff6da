#pragma once
// The hooks that hold each person to their own overlay address (DATAPATH.md, "Session addresses on shared
// hosts").

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "node/filter/attachment.h"

namespace cordon::node {

/// bind and sendmsg, both families, not yet attached; each with its program's name.
std::vector<std::pair<CgroupAttachment, std::string>> people_hooks(const std::filesystem::path& pin_directory,
                                                                   const std::filesystem::path& cgroup);

}  // namespace cordon::node
