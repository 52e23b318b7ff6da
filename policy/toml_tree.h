#pragma once
// TOML text as a small tree with places, and nothing of the parser behind it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "policy/diagnostic.h"

namespace cordon::policy {

struct TomlEntry;

/// A value as written. Which field counts goes by `kind`.
struct TomlNode {
  enum class Kind { table, list, text, integer, boolean, number, date_or_time };
  Kind kind = Kind::table;
  Place place;
  std::string text;
  std::int64_t integer = 0;
  bool boolean = false;
  double number = 0;
  std::vector<TomlNode> items;
  std::vector<TomlEntry> entries;  ///< of a table, in order of writing
};

struct TomlEntry {
  std::string key;
  Place place;  ///< of the key
  TomlNode value;
};

/// "a table", "a list", "text", ...: for diagnostics.
std::string_view describe(TomlNode::Kind kind);

/// What one file may hold at most; no policy written by people comes near.
inline constexpr std::size_t kMaxPolicyFileBytes = 8u << 20;
inline constexpr unsigned kMaxTomlNesting = 32;
/// What all files of a policy may hold together: keys, items of lists and tables, a dot as
/// five. 5,000 rules hold some
/// 100,000.
inline constexpr std::size_t kMaxPolicyValues = 500'000;

/// The file's table, or the one diagnostic that says why not: too large, invalid UTF-8, nested too deeply,
/// more values than are left, or the first syntax error. Never throws, recurses no deeper than the limits
/// above.
struct TomlResult {
  std::optional<TomlNode> root;
  std::optional<Diagnostic> problem;
};
TomlResult read_toml(const SourceFile& file, std::size_t& values_left);

}  // namespace cordon::policy
