#include "policy/toml_tree.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <exception>
#include <tuple>

#include "policy/toml_limits.h"

namespace cordon::policy {
namespace {

/// Copies the parser's tree into ours. Recursion is bounded by check_shape().
class Copier {
 public:
  explicit Copier(const std::string& file) : file_(file) {}

  TomlNode copy(const toml::node& from) const {
    TomlNode to;
    to.place = place(from.source());
    switch (from.type()) {
      case toml::node_type::table:
        copy_table(*from.as_table(), to);
        break;
      case toml::node_type::array:
        to.kind = TomlNode::Kind::list;
        to.items.reserve(from.as_array()->size());
        for (const toml::node& item : *from.as_array()) to.items.push_back(copy(item));
        break;
      case toml::node_type::string:
        to.kind = TomlNode::Kind::text;
        to.text = from.as_string()->get();
        break;
      case toml::node_type::integer:
        to.kind = TomlNode::Kind::integer;
        to.integer = from.as_integer()->get();
        break;
      case toml::node_type::boolean:
        to.kind = TomlNode::Kind::boolean;
        to.boolean = from.as_boolean()->get();
        break;
      case toml::node_type::floating_point:
        to.kind = TomlNode::Kind::number;
        to.number = from.as_floating_point()->get();
        break;
      default:
        to.kind = TomlNode::Kind::date_or_time;
        break;
    }
    return to;
  }

  Place place(const toml::source_region& region) const {
    return {file_, static_cast<unsigned>(region.begin.line), static_cast<unsigned>(region.begin.column)};
  }

 private:
  void copy_table(const toml::table& from, TomlNode& to) const {
    to.kind = TomlNode::Kind::table;
    to.entries.reserve(from.size());
    for (const auto& [key, value] : from)
      to.entries.push_back({std::string(key.str()), place(key.source()), copy(value)});
    std::ranges::sort(to.entries, {},
                      [](const TomlEntry& e) { return std::tie(e.place.line, e.place.column, e.key); });
  }

  const std::string& file_;
};

/// The parser's "Error while parsing array: expected ..." in our words; it may quote a key of any length.
std::string syntax_message(std::string_view description) {
  constexpr std::string_view kStart = "Error while parsing ";
  constexpr std::size_t kLongest = 300;
  const std::size_t colon = description.find(": ");
  std::string out =
      description.starts_with(kStart) && colon != std::string_view::npos
          ? fmt::format("invalid TOML in {}{}", description.substr(kStart.size(), colon - kStart.size()),
                        description.substr(colon))
          : fmt::format("invalid TOML: {}", description);
  if (out.size() <= kLongest) return out;
  std::size_t end = kLongest;
  while ((static_cast<unsigned char>(out[end]) & 0xc0) == 0x80) --end;  // not within a character
  return out.substr(0, end) + "…";
}

}  // namespace

std::string_view describe(TomlNode::Kind kind) {
  switch (kind) {
    case TomlNode::Kind::table:
      return "a table";
    case TomlNode::Kind::list:
      return "a list";
    case TomlNode::Kind::text:
      return "text";
    case TomlNode::Kind::integer:
      return "a whole number";
    case TomlNode::Kind::boolean:
      return "true or false";
    case TomlNode::Kind::number:
      return "a decimal number";
    case TomlNode::Kind::date_or_time:
      return "a date or time";
  }
  return "a value";
}

TomlResult read_toml(const SourceFile& file, std::size_t& values_left) {
  if (file.text.size() > kMaxPolicyFileBytes)
    return {.root = std::nullopt,
            .problem = Diagnostic{.place = {file.name, 0, 0},
                                  .message = fmt::format("the file holds {} bytes; at most {} are read",
                                                         file.text.size(), kMaxPolicyFileBytes),
                                  .hints = {"split it into several files"}}};
  if (auto problem = check_utf8(file)) return {.root = std::nullopt, .problem = std::move(problem)};
  if (auto problem = check_shape(file, values_left))
    return {.root = std::nullopt, .problem = std::move(problem)};
  try {
    const toml::table table = toml::parse(std::string_view(file.text));
    return {.root = Copier(file.name).copy(table), .problem = std::nullopt};
  } catch (const toml::parse_error& error) {
    return {.root = std::nullopt,
            .problem = Diagnostic{.place = Copier(file.name).place(error.source()),
                                  .message = syntax_message(error.description())}};
  } catch (const std::exception& error) {
    return {.root = std::nullopt,
            .problem = Diagnostic{.place = {file.name, 0, 0},
                                  .message = fmt::format("the file can't be read: {}", error.what())}};
  }
}

}  // namespace cordon::policy
