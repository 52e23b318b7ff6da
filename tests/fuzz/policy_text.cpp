// links: cordon_policy
// Any text as a policy: parse() ends, never crashes, and gives either a policy or an error. NUL bytes cut the
// input into several files.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "policy/parse.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<cordon::SourceFile> files;
  for (;;) {
    const auto end = text.find('\0');
    files.push_back(
        {std::string(1, static_cast<char>('a' + files.size() % 26)), std::string(text.substr(0, end))});
    if (end == std::string_view::npos || files.size() == 8) break;
    text.remove_prefix(end + 1);
  }
  const auto result = cordon::policy::parse(files, cordon::system_time_zones());
  bool failed = false;
  for (const auto& diagnostic : result.diagnostics) {
    failed |= diagnostic.severity == cordon::policy::Severity::error;
    if (render(diagnostic).empty()) std::abort();
  }
  if (result.ok() == failed) std::abort();
  return 0;
}
