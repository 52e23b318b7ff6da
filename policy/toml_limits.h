#pragma once
// What is looked at before the TOML parser sees a file.

#include <optional>

#include "base/files.h"
#include "policy/diagnostic.h"

namespace cordon::policy {

/// The first byte that isn't valid UTF-8 (RFC 3629), or nothing.
std::optional<Diagnostic> check_utf8(const SourceFile& file);

/// The first place nested deeper than kMaxTomlNesting by brackets or by a dotted key, or nothing. The parser,
/// and the destructor of what it made, recurse once a level: this keeps the stack bounded.
std::optional<Diagnostic> check_nesting(const SourceFile& file);

}  // namespace cordon::policy
