#pragma once
// How diagnostics quote and suggest.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace cordon::policy {

/// The user's text in double quotes, safe to print: control characters escaped, cut after 80 bytes.
std::string in_quotes(std::string_view text);

/// Single edits (insert, delete, replace, swap neighbours) from `a` to `b`; `limit` + 1 when there are more.
std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit);

/// The candidate nearest to `text` if it is near enough to be meant (a third of its length, at most 3 edits),
/// lowest name first among equals; "" when none. Looks at the first 10,000 candidates.
std::string nearest(std::string_view text, const std::vector<std::string_view>& candidates);

}  // namespace cordon::policy
