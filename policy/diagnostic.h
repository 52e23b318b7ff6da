#pragma once
// Diagnostics are values: a place, a message, hints. They are gathered and rendered at the end.

#include <optional>
#include <string>
#include <vector>

namespace cordon::policy {

/// A place in a source file; line and column from 1, 0: unknown.
struct Place {
  std::string file;
  unsigned line = 0;
  unsigned column = 0;
  auto operator<=>(const Place&) const = default;
};

enum class Severity { error, warning };

struct Diagnostic {
  Severity severity = Severity::error;
  Place place;
  std::string message;               ///< lowercase, quotes the user's text, names the concept
  std::vector<std::string> hints{};  ///< "did you mean \"traders\"?"
  std::vector<Place> also{};         ///< other places concerned, such as a first definition
};

/// "settlement.toml:14:9: error: unknown group \"tradres\"; did you mean \"traders\"?"
std::string render(const Diagnostic& diagnostic);

}  // namespace cordon::policy
