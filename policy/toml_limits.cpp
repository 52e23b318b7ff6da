#include "policy/toml_limits.h"

#include <fmt/format.h>

#include <algorithm>

#include "policy/toml_tree.h"

namespace cordon::policy {
namespace {

/// Length of the UTF-8 character at the start of `text`, 0 when invalid (RFC 3629, section 4).
std::size_t character_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto continues = [&](std::size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return continues(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    if (lead == 0xe0 && byte(1) < 0xa0) return 0;  // overlong
    if (lead == 0xed && byte(1) > 0x9f) return 0;  // surrogates
    return continues(1) && continues(2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    if (lead == 0xf0 && byte(1) < 0x90) return 0;  // overlong
    if (lead == 0xf4 && byte(1) > 0x8f) return 0;  // past U+10FFFF
    return continues(1) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

constexpr std::size_t kCostOfDot = 5;

/// Walks TOML's lexical shape just well enough to tell text and comments from the rest.
class ShapeScanner {
 public:
  ShapeScanner(const SourceFile& file, std::size_t& values_left)
      : file_(file), text_(file.text), values_left_(values_left) {}

  std::optional<Diagnostic> scan() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#')
        skip_comment();
      else if (c == '"' || c == '\'')
        skip_string(c);
      else if (!step(c))
        return too_deep();
      else if (values_left_ == 0)
        return too_many();
    }
    return std::nullopt;
  }

 private:
  /// One character outside text and comments; false when it goes too deep.
  bool step(char c) {
    if (c == '[' || c == '{') ++depth_;
    if ((c == ']' || c == '}') && depth_ > 0) --depth_;
    if (c == '.') ++dots_;
    // A value or a table follows each of these. What a dotted key makes the parser finds again by searching
    // all of its kind, so a dot costs more.
    const std::size_t cost = c == '.' ? kCostOfDot : std::string_view("[{=,").contains(c) ? 1 : 0;
    values_left_ -= std::min(cost, values_left_);
    if (std::string_view("[]{}=,\n").find(c) != std::string_view::npos) dots_ = 0;  // a key ends here
    if (depth_ > kMaxTomlNesting || dots_ >= kMaxTomlNesting) return false;
    advance();
    return true;
  }

  void skip_comment() {
    while (at_ < text_.size() && text_[at_] != '\n') advance();
  }

  void skip_string(char quote) {
    const std::string triple(3, quote);
    const bool multiline = text_.substr(at_, 3) == triple;
    for (int i = multiline ? 3 : 1; i > 0; --i) advance();
    while (at_ < text_.size()) {
      if (multiline ? text_.substr(at_, 3) == triple : text_[at_] == quote) {
        for (int i = multiline ? 3 : 1; i > 0; --i) advance();
        // Up to two more quotes belong to the text that just ended (TOML 1.0, multi-line strings).
        for (int i = multiline ? 2 : 0; i > 0 && at_ < text_.size() && text_[at_] == quote; --i) advance();
        return;
      }
      if (!multiline && text_[at_] == '\n') return;  // unterminated: the parser will say so
      if (quote == '"' && text_[at_] == '\\' && at_ + 1 < text_.size()) advance();
      advance();
    }
  }

  void advance() {
    if (text_[at_] == '\n') {
      ++line_;
      line_start_ = at_ + 1;
    }
    ++at_;
  }

  Place here() const { return {file_.name, line_, static_cast<unsigned>(at_ - line_start_ + 1)}; }

  Diagnostic too_deep() const {
    return {.place = here(),
            .message = fmt::format("nested too deeply: at most {} levels are read", kMaxTomlNesting)};
  }

  Diagnostic too_many() const {
    return {.place = here(),
            .message = fmt::format("a policy holds at most {} values, and here are more", kMaxPolicyValues)};
  }

  const SourceFile& file_;
  std::string_view text_;
  std::size_t& values_left_;
  std::size_t at_ = 0, line_start_ = 0;
  unsigned line_ = 1, depth_ = 0, dots_ = 0;
};

}  // namespace

std::optional<Diagnostic> check_utf8(const SourceFile& file) {
  const std::string_view text = file.text;
  unsigned line = 1, column = 1;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = character_length(text.substr(i));
    if (length == 0)
      return Diagnostic{
          .place = {file.name, line, column},
          .message = fmt::format("byte 0x{:02x} is not valid UTF-8", static_cast<unsigned char>(text[i])),
          .hints = {"save the file as UTF-8"}};
    ++column;
    if (text[i] == '\n') {
      ++line;
      column = 1;
    }
    i += length;
  }
  return std::nullopt;
}

std::optional<Diagnostic> check_shape(const SourceFile& file, std::size_t& values_left) {
  return ShapeScanner(file, values_left).scan();
}

}  // namespace cordon::policy
