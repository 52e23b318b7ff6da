#pragma once
// What a machine tells of itself is shown to operators and kept in files.

#include <cstddef>
#include <string>
#include <string_view>

namespace cordon::controller {

/// The first `most` bytes of `text` with '?' for all that isn't printable ASCII.
inline std::string printable(std::string_view text, std::size_t most) {
  std::string out;
  for (const char c : text.substr(0, most)) out += c >= ' ' && c <= '~' ? c : '?';
  return out;
}

}  // namespace cordon::controller
