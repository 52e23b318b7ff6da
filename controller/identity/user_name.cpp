#include "controller/identity/user_name.h"

#include <fmt/format.h>

#include <algorithm>

namespace cordon::controller {
namespace {

constexpr std::size_t kMaxName = 254;  // RFC 5321, 4.5.3.1.3 less the brackets

bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool is_local_part(std::string_view text) {
  return !text.empty() && text.front() != '.' && text.back() != '.' && std::ranges::all_of(text, [](char c) {
    return is_alnum(c) || c == '.' || c == '_' || c == '+' || c == '-';
  });
}

bool is_host_name(std::string_view text) {
  while (true) {
    const std::size_t dot = text.find('.');
    const std::string_view label = text.substr(0, dot);
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return false;
    if (!std::ranges::all_of(label, [](char c) { return is_alnum(c) || c == '-'; })) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

/// What an error may quote of a text from outside.
std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 64)) out += c >= ' ' && c <= '~' ? c : '?';
  return out;
}

}  // namespace

Result<> check_user_name(std::string_view name) {
  const std::size_t at = name.find('@');
  if (name.size() <= kMaxName && at != std::string_view::npos && is_local_part(name.substr(0, at)) &&
      is_host_name(name.substr(at + 1))) {
    return {};
  }
  const std::string lowered = normalized_user_name(name);
  if (lowered != name && check_user_name(lowered)) {
    return fail(ErrorCode::invalid, fmt::format("user name \"{}\" has capitals or blanks", shown(name)),
                fmt::format("write \"{}\"", lowered));
  }
  return fail(ErrorCode::invalid, fmt::format("\"{}\" is not a user name", shown(name)),
              "write it like an e-mail address, such as \"trader@acme.example\"");
}

std::string normalized_user_name(std::string_view typed) {
  const std::size_t first = typed.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  typed = typed.substr(first, typed.find_last_not_of(" \t") - first + 1);
  std::string out(typed);
  std::ranges::transform(out, out.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

}  // namespace cordon::controller
