#include "policy/json_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <charconv>
#include <exception>
#include <map>

#include "policy/wording.h"

namespace cordon::policy {
namespace {

namespace json = boost::json;

/// Takes everything in and keeps nothing: the parser only tells whether the text is valid.
struct Nothing {
  static constexpr std::size_t max_object_size = kMaxJsonFileBytes;
  static constexpr std::size_t max_array_size = kMaxJsonFileBytes;
  static constexpr std::size_t max_key_size = kMaxJsonFileBytes;
  static constexpr std::size_t max_string_size = kMaxJsonFileBytes;
  using Code = json::error_code;
  using Text = json::string_view;
  bool on_document_begin(Code&) { return true; }
  bool on_document_end(Code&) { return true; }
  bool on_object_begin(Code&) { return true; }
  bool on_object_end(std::size_t, Code&) { return true; }
  bool on_array_begin(Code&) { return true; }
  bool on_array_end(std::size_t, Code&) { return true; }
  bool on_key_part(Text, std::size_t, Code&) { return true; }
  bool on_key(Text, std::size_t, Code&) { return true; }
  bool on_string_part(Text, std::size_t, Code&) { return true; }
  bool on_string(Text, std::size_t, Code&) { return true; }
  bool on_number_part(Text, Code&) { return true; }
  bool on_int64(std::int64_t, Text, Code&) { return true; }
  bool on_uint64(std::uint64_t, Text, Code&) { return true; }
  bool on_double(double, Text, Code&) { return true; }
  bool on_bool(bool, Code&) { return true; }
  bool on_null(Code&) { return true; }
  bool on_comment_part(Text, Code&) { return true; }
  bool on_comment(Text, Code&) { return true; }
};

/// A column counts characters, as the TOML parser's do.
Place place_of(const SourceFile& file, std::size_t offset) {
  const std::string_view before = std::string_view(file.text).substr(0, offset);
  const auto line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  const auto is_first_byte = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; };
  return {file.name, static_cast<unsigned>(1 + std::ranges::count(before, '\n')),
          static_cast<unsigned>(1 + std::ranges::count_if(before.substr(line_start), is_first_byte))};
}

std::optional<Diagnostic> check(const SourceFile& file) {
  if (file.text.size() > kMaxJsonFileBytes)
    return Diagnostic{.place = {file.name, 0, 0},
                      .message = fmt::format("the file holds {} bytes; at most {} are read", file.text.size(),
                                             kMaxJsonFileBytes)};
  json::parse_options options;
  options.max_depth = kMaxJsonNesting;
  json::basic_parser<Nothing> parser(options);
  json::error_code error;
  std::size_t read = 0;
  try {
    read = parser.write_some(false, file.text.data(), file.text.size(), error);
  } catch (const std::exception& problem) {
    return Diagnostic{.place = {file.name, 0, 0},
                      .message = fmt::format("the file can't be read: {}", problem.what())};
  }
  if (!error && read < file.text.size()) error = json::error::extra_data;
  if (!error) return std::nullopt;
  if (error == json::error::too_deep)
    return Diagnostic{.place = place_of(file, read),
                      .message = fmt::format("nested more than {} levels deep", kMaxJsonNesting)};
  return Diagnostic{.place = place_of(file, read),
                    .message = fmt::format("invalid JSON: {}", error.message())};
}

/// Reads valid JSON, whose nesting is bounded.
class Walk {
 public:
  Walk(const SourceFile& file, JsonVisitor& visitor)
      : text_(file.text), visitor_(visitor), place_{file.name, 1, 1} {}

  std::optional<Diagnostic> file() {
    skip_space();
    if (peek() != '{') {
      stop(place_, "the file must hold one object");
      return std::move(problem_);
    }
    std::map<std::string, Place> keys;
    each_entry([&](TomlEntry& entry) {
      values_ = 0;
      const auto [first, is_new] = keys.try_emplace(entry.key, entry.place);
      if (!is_new) return twice(entry, first->second);
      if (peek() == '[') {
        list(entry);
      } else {
        entry.value = value();
        if (!stopped_) go_on(visitor_.entry(entry));
      }
    });
    return std::move(problem_);
  }

 private:
  void list(TomlEntry& entry) {
    entry.value.kind = TomlNode::Kind::list;
    entry.value.place = place_;
    go_on(visitor_.entry(entry));
    if (stopped_) return;
    each_item([&] {
      values_ = 0;
      const TomlNode node = value();
      if (!stopped_) go_on(visitor_.item(entry, node));
    });
  }

  TomlNode value() {
    TomlNode node;
    node.place = place_;
    if (++values_ > kMaxJsonValues) {
      stop(place_, fmt::format("more than {} values belong together here", kMaxJsonValues));
      return node;
    }
    switch (peek()) {
      case '{':
        node.kind = TomlNode::Kind::table;
        each_entry([&](TomlEntry& entry) {
          entry.value = value();
          node.entries.push_back(std::move(entry));
        });
        check_keys(node);
        break;
      case '[':
        node.kind = TomlNode::Kind::list;
        each_item([&] { node.items.push_back(value()); });
        break;
      case '"':
        node.kind = TomlNode::Kind::text;
        node.text = string();
        break;
      case 't':
      case 'f':
        node.kind = TomlNode::Kind::boolean;
        node.boolean = peek() == 't';
        take(node.boolean ? 4 : 5);
        break;
      case 'n':
        stop(place_, "null says nothing", "leave out a key whose value isn't known");
        break;
      default:
        number(node);
    }
    return node;
  }

  template <class Each>
  void each_entry(Each each) {
    take(1);
    for (skip_space(); !stopped_ && peek() != '}'; next()) {
      TomlEntry entry;
      entry.place = place_;
      entry.key = string();
      skip_space();
      take(1);  // the colon
      skip_space();
      each(entry);
    }
    if (!stopped_) take(1);
  }

  template <class Each>
  void each_item(Each each) {
    take(1);
    for (skip_space(); !stopped_ && peek() != ']'; next()) each();
    if (!stopped_) take(1);
  }

  /// Over the comma, if one follows.
  void next() {
    skip_space();
    if (peek() == ',') take(1);
    skip_space();
  }

  void number(TomlNode& node) {
    const std::size_t length = std::min(text_.find_first_not_of("+-.0123456789eE", at_), text_.size()) - at_;
    const std::string_view digits = text_.substr(at_, length);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + length, node.integer);
    const bool whole = error == std::errc{} && end == digits.data() + length;
    node.kind = whole ? TomlNode::Kind::integer : TomlNode::Kind::number;
    if (!whole) std::from_chars(digits.data(), digits.data() + length, node.number);
    take(length);
  }

  std::string string() {
    std::string out;
    take(1);
    while (peek() != '"') {
      if (peek() == '\\') {
        escape(out);
      } else {
        const std::size_t end = text_.find_first_of("\"\\", at_);
        out += text_.substr(at_, end - at_);
        take(end - at_);
      }
    }
    take(1);
    return out;
  }

  void escape(std::string& out) {
    constexpr std::string_view kLetters = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    const char letter = text_[at_ + 1];
    take(2);
    if (letter == 'u') {
      unsigned code = hex();
      if (code >= 0xd800 && code < 0xdc00) {  // a pair, which the parser has checked
        take(2);
        code = 0x10000 + ((code - 0xd800) << 10) + (hex() - 0xdc00);
      }
      append_utf8(out, code);
    } else {
      out += kMeanings[kLetters.find(letter)];
    }
  }

  unsigned hex() {
    unsigned code = 0;
    std::from_chars(text_.data() + at_, text_.data() + at_ + 4, code, 16);
    take(4);
    return code;
  }

  static void append_utf8(std::string& out, unsigned code) {
    const auto byte = [&](unsigned value) { out += static_cast<char>(value); };
    if (code < 0x80) {
      byte(code);
    } else if (code < 0x800) {
      byte(0xc0 | code >> 6);
      byte(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
      byte(0xe0 | code >> 12);
      byte(0x80 | (code >> 6 & 0x3f));
      byte(0x80 | (code & 0x3f));
    } else {
      byte(0xf0 | code >> 18);
      byte(0x80 | (code >> 12 & 0x3f));
      byte(0x80 | (code >> 6 & 0x3f));
      byte(0x80 | (code & 0x3f));
    }
  }

  void check_keys(const TomlNode& table) {
    std::vector<const TomlEntry*> entries;
    for (const TomlEntry& entry : table.entries) entries.push_back(&entry);
    const auto key = [](const TomlEntry* entry) -> const std::string& { return entry->key; };
    std::ranges::stable_sort(entries, {}, key);
    const auto pair = std::ranges::adjacent_find(entries, {}, key);
    if (pair != entries.end()) twice(**std::next(pair), (*pair)->place);
  }

  /// RFC 8259 leaves open what a key given twice means.
  void twice(const TomlEntry& entry, const Place& first) {
    if (stopped_) return;
    stop(entry.place, fmt::format("{} is given twice", in_quotes(entry.key)));
    problem_->also = {first};
  }

  char peek() const { return text_[at_]; }
  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(peek()) != std::string_view::npos) take(1);
  }
  void take(std::size_t bytes) {
    for (; bytes > 0; --bytes, ++at_) {
      if (text_[at_] == '\n') {
        ++place_.line;
        place_.column = 1;
      } else if ((static_cast<unsigned char>(text_[at_]) & 0xc0) != 0x80) {
        ++place_.column;
      }
    }
  }

  void go_on(bool on) {
    if (!on) stopped_ = true;
  }
  /// Every loop ends then, wherever it is. The first problem is told.
  void stop(const Place& place, std::string message, std::string hint = {}) {
    if (stopped_) return;
    stopped_ = true;
    problem_ = Diagnostic{.place = place, .message = std::move(message)};
    if (!hint.empty()) problem_->hints.push_back(std::move(hint));
  }

  std::string_view text_;
  JsonVisitor& visitor_;
  std::size_t at_ = 0;
  Place place_;
  std::size_t values_ = 0;
  bool stopped_ = false;
  std::optional<Diagnostic> problem_;
};

}  // namespace

std::optional<Diagnostic> walk_json(const SourceFile& file, JsonVisitor& visitor) {
  if (auto problem = check(file)) return problem;
  return Walk(file, visitor).file();
}

}  // namespace cordon::policy
