#pragma once
// JSON text, value by value, as the same small tree with places that TOML gives, so that one set of readers
// serves both. A file is never a tree as a whole: large ones stay cheap.

#include <cstddef>
#include <optional>

#include "base/files.h"
#include "policy/diagnostic.h"
#include "policy/toml_tree.h"

namespace cordon::policy {

inline constexpr std::size_t kMaxJsonFileBytes = 64u << 20;
inline constexpr unsigned kMaxJsonNesting = 32;
/// Values that one entry, or one item of a list at the top, may hold in all.
inline constexpr std::size_t kMaxJsonValues = 100'000;

/// What a file's top-level object holds, in order of writing. Each answers whether to go on.
class JsonVisitor {
 public:
  virtual ~JsonVisitor() = default;
  /// An entry whose value is no list; or a list that begins, without its items.
  virtual bool entry(const TomlEntry& entry) = 0;
  /// An item of the list at `list`.
  virtual bool item(const TomlEntry& list, const TomlNode& item) = 0;
};

/// Walks the file, which must hold one object. Answers why not: too large, no valid JSON (RFC 8259), nested
/// too deeply, a key given twice, a value with too many values; nothing was visited of a file that isn't
/// valid.
std::optional<Diagnostic> walk_json(const SourceFile& file, JsonVisitor& visitor);

}  // namespace cordon::policy
