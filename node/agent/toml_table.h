#pragma once
// Reads one table of a TOML document strictly. Included only where node.toml is parsed: toml++ is heavy.

#include <fmt/format.h>

#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <toml++/toml.h>

#include "base/result.h"

namespace cordon::node {

/// Every read marks its key as known; `finish` refuses what nobody asked for. The first problem is kept,
/// later reads are harmless, so a caller reads all and asks once.
class TomlTable {
 public:
  TomlTable(const toml::table& table, std::string_view file, std::string path, Result<>& problem)
      : table_(table), file_(file), path_(std::move(path)), problem_(problem) {}

  /// Null when absent or of another type (which is a problem).
  template <class T>
  const T* get(std::string_view key, std::string_view type_name, std::string_view example) {
    known_.insert(std::string(key));
    const toml::node* node = table_.get(key);
    if (node == nullptr) return nullptr;
    if (const T* typed = node->as<T>()) return typed;
    refuse(*node, fmt::format("\"{}{}\" is to be {}", path_, key, type_name),
           fmt::format("for example: {} = {}", key, example));
    return nullptr;
  }

  bool has(std::string_view key) const { return table_.contains(key); }

  /// Reads a text through `take`, which gives a Result<>; its error is put at the value's place.
  template <class Take>
  void text(std::string_view key, std::string_view example, Take take) {
    if (const auto* value = get<toml::value<std::string>>(key, "a text", example))
      check(*value, key, take(value->get()));
  }

  template <class Take>
  void texts(std::string_view key, std::string_view example, Take take) {
    const auto* list = get<toml::array>(key, "a list of texts", example);
    if (list == nullptr) return;
    for (const toml::node& item : *list) {
      if (const auto* value = item.as_string())
        check(item, key, take(value->get()));
      else
        refuse(item, fmt::format("\"{}{}\" is a list of texts", path_, key),
               fmt::format("for example: {} = {}", key, example));
    }
  }

  void flag(std::string_view key, bool& out) {
    if (const auto* value = get<toml::value<bool>>(key, "true or false", "false")) out = value->get();
  }

  template <class Number>
  void number(std::string_view key, Number& out, std::int64_t least, std::int64_t most) {
    const auto* value = get<toml::value<std::int64_t>>(key, "a whole number", std::to_string(out));
    if (value == nullptr) return;
    if (value->get() < least || value->get() > most)
      return refuse(*value,
                    fmt::format("\"{}{}\" is {}, outside {} to {}", path_, key, value->get(), least, most));
    out = static_cast<Number>(value->get());
  }

  template <class Read>
  void section(std::string_view key, Read read) {
    const auto* table = get<toml::table>(key, "a table", "{}");
    if (table == nullptr) return;
    TomlTable inner(*table, file_, fmt::format("{}{}.", path_, key), problem_);
    read(inner);
    inner.finish();
  }

  void finish() {
    for (const auto& [key, value] : table_) {
      if (known_.contains(std::string(key.str()))) continue;
      std::string known;
      for (const std::string& name : known_) known += (known.empty() ? "" : ", ") + name;
      refuse_at(key.source(), fmt::format("unknown key \"{}{}\"", path_, key.str()),
                "known keys here: " + known);
    }
  }

 private:
  void check(const toml::node& node, std::string_view key, const Result<>& result) {
    if (!result)
      refuse(node, fmt::format("\"{}{}\": {}", path_, key, result.error().what), result.error().hint);
  }
  void refuse(const toml::node& node, std::string what, std::string hint = {}) {
    refuse_at(node.source(), std::move(what), std::move(hint));
  }
  void refuse_at(const toml::source_region& place, std::string what, std::string hint) {
    if (!problem_) return;
    problem_ =
        fail(ErrorCode::invalid,
             fmt::format("{}:{}:{}: {}", file_, place.begin.line, place.begin.column, what), std::move(hint));
  }

  const toml::table& table_;
  std::string_view file_;
  std::string path_;  ///< "tunnel." inside [tunnel]
  Result<>& problem_;
  std::set<std::string> known_;
};

}  // namespace cordon::node
