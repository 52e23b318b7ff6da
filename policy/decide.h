#pragma once
// Questions of a facts file to answer lines (POLICY.md, "Decide off line").

#include <string>
#include <string_view>

#include "policy/facts_file.h"

namespace cordon::policy {

/// What is decided of a query. Where it asks for several flows ("ping") all must be allowed: the strictest
/// answer is given, of allows the one that ends first.
Decision decide(const World& world, const FactsQuery& query, Timestamp now);

/// One compact JSON object without a line end; times as by `offset`.
std::string answer_line(const FactsQuery& query, const Decision& decision, std::string_view offset);

/// "2026-01-05T10:15:00+08:00" for the offset "+08:00"; "Z" is UTC.
std::string format_with_offset(Timestamp t, std::string_view offset);

}  // namespace cordon::policy
