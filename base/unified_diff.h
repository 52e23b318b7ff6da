#pragma once
// The difference of two texts as people read it: the unified format of diff -u, line by line.

#include <string>
#include <string_view>

namespace cordon {

/// "--- FROM", "+++ TO" and hunks with three lines around each change; empty when the texts are equal. Names
/// are written as given. Texts that differ in more than some thousand lines are told as one that goes and one
/// that comes, so that work and memory stay bounded.
std::string unified_diff(std::string_view from_name, std::string_view from, std::string_view to_name,
                         std::string_view to);

}  // namespace cordon
