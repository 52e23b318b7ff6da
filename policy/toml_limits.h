#pragma once
// What is looked at before the TOML parser sees a file.

#include <optional>

#include "base/files.h"
#include "policy/diagnostic.h"

namespace cordon::policy {

/// The first byte that isn't valid UTF-8 (RFC 3629), or nothing.
std::optional<Diagnostic> check_utf8(const SourceFile& file);

/// The first place nested deeper than kMaxTomlNesting by brackets or by a dotted key, or the one at which
/// more values than `values_left` have come; or nothing, and the file's values are taken off. The parser, and
/// the destructor of what it made, recurse once a level and take a hundred bytes a value: this keeps stack
/// and memory bounded.
std::optional<Diagnostic> check_shape(const SourceFile& file, std::size_t& values_left);

}  // namespace cordon::policy
