#pragma once
// What all readers of TOML tables share: gathering diagnostics and asking for typed values.

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/diagnostic.h"
#include "policy/toml_tree.h"

namespace cordon::policy {

/// A text value and where it stands.
struct Word {
  std::string text;
  Place place;
};

using KeyList = std::initializer_list<std::string_view>;

/// May a list be empty?
enum class Empty { refused, allowed };

/// Gathers diagnostics. Every reader goes on after an error, so that all are found in one run.
class Reader {
 public:
  void error(const Place& place, std::string message, std::vector<std::string> hints = {},
             std::vector<Place> also = {});
  void warning(const Place& place, std::string message, std::vector<std::string> hints = {});
  void add(Diagnostic diagnostic);

  /// {"did you mean \"x\"?"} when a candidate is near, else {}. Looks only for the first hundred errors of a
  /// run: that bounds the work on hostile text.
  std::vector<std::string> suggest(std::string_view text, const std::vector<std::string_view>& candidates);

  /// Refuses every key of `table` that isn't in `known`.
  void check_keys(const TomlNode& table, std::string_view concept_name, KeyList known);

  /// The values below are nothing after an error was reported.
  bool is_kind(const TomlEntry& entry, TomlNode::Kind kind, std::string_view hint = {});
  std::optional<std::string> text(const TomlEntry& entry, std::string_view hint = {});
  std::optional<bool> boolean(const TomlEntry& entry);
  /// A list of text; entries that aren't text are reported and left out.
  std::vector<Word> words(const TomlEntry& entry, Empty empty = Empty::refused);

  /// One of a few words.
  template <class T>
  std::optional<T> choice(const TomlEntry& entry,
                          std::initializer_list<std::pair<std::string_view, T>> choices) {
    const auto value = text(entry);
    if (!value) return std::nullopt;
    std::vector<std::string_view> names;
    for (const auto& [name, meaning] : choices) {
      if (*value == name) return meaning;
      names.push_back(name);
    }
    not_a_choice(entry, *value, names);
    return std::nullopt;
  }

  /// A name that others may refer to: not empty, at most 128 bytes, no control characters, and none of
  /// `without`.
  bool check_name(const Word& name, std::string_view concept_name, std::string_view without = "");

  bool failed() const { return errors_ > 0; }
  std::size_t errors() const { return errors_; }
  std::vector<Diagnostic> take();  ///< by place

 private:
  /// The same, but nothing when two candidates are equally near: then it is better to list them all.
  std::vector<std::string> suggest_one(std::string_view text,
                                       const std::vector<std::string_view>& candidates);
  void not_a_choice(const TomlEntry& entry, const std::string& value,
                    const std::vector<std::string_view>& names);

  std::vector<Diagnostic> diagnostics_;
  std::size_t errors_ = 0;
  std::size_t untold_ = 0;  ///< diagnostics past what is kept
  int suggestions_left_ = 100;
};

/// The entry of that key, or null.
const TomlEntry* find(const TomlNode& table, std::string_view key);

}  // namespace cordon::policy
