#include "policy/diagnostic.h"

#include <fmt/format.h>

namespace cordon::policy {
namespace {

std::string render(const Place& place) {
  if (place.line == 0) return place.file;
  if (place.column == 0) return fmt::format("{}:{}", place.file, place.line);
  return fmt::format("{}:{}:{}", place.file, place.line, place.column);
}

}  // namespace

std::string render(const Diagnostic& diagnostic) {
  std::string out =
      fmt::format("{}: {}: {}", render(diagnostic.place),
                  diagnostic.severity == Severity::error ? "error" : "warning", diagnostic.message);
  for (const std::string& hint : diagnostic.hints) out += "; " + hint;
  for (const Place& place : diagnostic.also) out += fmt::format(" (also {})", render(place));
  return out;
}

}  // namespace cordon::policy
