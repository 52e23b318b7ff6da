#pragma once
// Whose uids are people's: node.toml's people_uids, else what this machine's accounts say.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/uids.h"

namespace cordon::node {

/// "1000-60000" or "1000". Refused: 0 and 65534, which root and packets without a socket have.
Result<UidRange> parse_uid_range(std::string_view text);

/// From UID_MIN of login.defs(5) on, else from 1000 as useradd(8) does, whoever gives them out: a directory's
/// users lie anywhere above. Not 60514 to 65535, where systemd has its dynamic users and nobody is. A value
/// that is no number is an error with its line.
Result<std::vector<UidRange>> uids_of_login_defs(std::string_view text, std::string_view file);
/// The subordinate uids of subuid(5): one range for each line "owner:first:count".
Result<std::vector<UidRange>> uids_of_subuid(std::string_view text, std::string_view file);

/// Sorted; those that overlap or touch are one.
std::vector<UidRange> merged_uids(std::vector<UidRange> ranges);

/// Both of a machine, merged; a file that isn't there says nothing.
Result<std::vector<UidRange>> people_of_machine(const std::filesystem::path& login_defs = "/etc/login.defs",
                                                const std::filesystem::path& subuid = "/etc/subuid");

/// "1000-60000, 100000-165535", or "nobody".
std::string in_words(const std::vector<UidRange>& ranges);

}  // namespace cordon::node
