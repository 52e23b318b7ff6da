#include "policy/reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <tuple>

#include "policy/wording.h"

namespace cordon::policy {
namespace {

constexpr std::size_t kLongestName = 128;
constexpr std::size_t kMostDiagnostics = 50'000;  ///< nobody reads more

bool is_known(KeyList keys, std::string_view key) {
  return std::ranges::find(keys, key) != keys.end();
}

}  // namespace

const TomlEntry* find(const TomlNode& table, std::string_view key) {
  const auto it = std::ranges::find(table.entries, key, &TomlEntry::key);
  return it == table.entries.end() ? nullptr : &*it;
}

void Reader::add(Diagnostic diagnostic) {
  const bool is_error = diagnostic.severity == Severity::error;
  const bool is_first_error = is_error && errors_ == 0;
  if (is_error) ++errors_;
  if (diagnostics_.size() >= kMostDiagnostics && !is_first_error) {
    ++untold_;
    return;
  }
  diagnostics_.push_back(std::move(diagnostic));
}

void Reader::error(const Place& place, std::string message, std::vector<std::string> hints,
                   std::vector<Place> also) {
  add({.severity = Severity::error,
       .place = place,
       .message = std::move(message),
       .hints = std::move(hints),
       .also = std::move(also)});
}

void Reader::warning(const Place& place, std::string message, std::vector<std::string> hints) {
  add({.severity = Severity::warning,
       .place = place,
       .message = std::move(message),
       .hints = std::move(hints)});
}

std::vector<std::string> Reader::suggest(std::string_view text,
                                         const std::vector<std::string_view>& candidates) {
  if (suggestions_left_ == 0 || text.size() > kLongestName) return {};
  --suggestions_left_;
  const std::string found = nearest(text, candidates);
  if (found.empty()) return {};
  return {fmt::format("did you mean {}?", in_quotes(found))};
}

std::vector<std::string> Reader::suggest_one(std::string_view text,
                                             const std::vector<std::string_view>& candidates) {
  if (suggestions_left_ == 0 || text.size() > kLongestName) return {};
  const std::string found = nearest(text, candidates);
  const std::size_t distance = edit_distance(text, found, text.size());
  const auto equals = std::ranges::count_if(candidates, [&](std::string_view candidate) {
    return edit_distance(text, candidate, distance) == distance;
  });
  return found.empty() || equals > 1 ? std::vector<std::string>{} : suggest(text, candidates);
}

void Reader::check_keys(const TomlNode& table, std::string_view concept_name, KeyList known) {
  for (const TomlEntry& entry : table.entries) {
    if (is_known(known, entry.key)) continue;
    auto hints = suggest_one(entry.key, std::vector<std::string_view>(known));
    if (hints.empty()) hints.push_back(fmt::format("its keys are {}", fmt::join(known, ", ")));
    error(entry.place, fmt::format("unknown key {} in {}", in_quotes(entry.key), concept_name),
          std::move(hints));
  }
}

bool Reader::is_kind(const TomlEntry& entry, TomlNode::Kind kind, std::string_view hint) {
  if (entry.value.kind == kind) return true;
  if (kind == TomlNode::Kind::text && entry.value.kind == TomlNode::Kind::date_or_time)
    hint = "put it in quotes";
  error(entry.place,
        fmt::format("{} must be {}, found {}", in_quotes(entry.key), describe(kind),
                    describe(entry.value.kind)),
        hint.empty() ? std::vector<std::string>{} : std::vector{std::string(hint)});
  return false;
}

std::optional<std::string> Reader::text(const TomlEntry& entry, std::string_view hint) {
  if (!is_kind(entry, TomlNode::Kind::text, hint)) return std::nullopt;
  return entry.value.text;
}

std::optional<bool> Reader::boolean(const TomlEntry& entry) {
  if (!is_kind(entry, TomlNode::Kind::boolean)) return std::nullopt;
  return entry.value.boolean;
}

std::vector<Word> Reader::words(const TomlEntry& entry, Empty empty) {
  std::vector<Word> out;
  if (entry.value.kind != TomlNode::Kind::list) {
    std::vector<std::string> hints;
    if (entry.value.kind == TomlNode::Kind::text)
      hints.push_back(fmt::format("write {} = [{}]", entry.key, in_quotes(entry.value.text)));
    error(
        entry.place,
        fmt::format("{} must be a list of text, found {}", in_quotes(entry.key), describe(entry.value.kind)),
        std::move(hints));
    return out;
  }
  if (entry.value.items.empty() && empty == Empty::refused)
    error(entry.place, fmt::format("{} is an empty list", in_quotes(entry.key)),
          {"fill it or leave the key out"});
  for (const TomlNode& item : entry.value.items) {
    if (item.kind != TomlNode::Kind::text)
      error(item.place,
            fmt::format("{} must hold text, found {}", in_quotes(entry.key), describe(item.kind)));
    else if (item.text.empty())
      error(item.place, fmt::format("{} holds an empty text", in_quotes(entry.key)));
    else
      out.push_back({item.text, item.place});
  }
  return out;
}

bool Reader::check_name(const Word& name, std::string_view concept_name, std::string_view without) {
  std::string problem;
  if (name.text.empty()) problem = "is empty";
  if (name.text.size() > kLongestName) problem = fmt::format("is longer than {} bytes", kLongestName);
  for (const char c : name.text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) problem = "holds a control character";
    if (without.find(c) != std::string_view::npos)
      problem = fmt::format("holds {}, which a {} name can't", in_quotes(std::string(1, c)), concept_name);
  }
  if (problem.empty()) return true;
  error(name.place, fmt::format("the {} name {} {}", concept_name, in_quotes(name.text), problem));
  return false;
}

void Reader::not_a_choice(const TomlEntry& entry, const std::string& value,
                          const std::vector<std::string_view>& names) {
  auto hints = suggest_one(value, names);
  if (hints.empty()) hints.push_back(fmt::format("it is one of {}", fmt::join(names, ", ")));
  error(entry.value.place, fmt::format("{} can't be {}", in_quotes(entry.key), in_quotes(value)),
        std::move(hints));
}

std::vector<Diagnostic> Reader::take() {
  std::ranges::sort(diagnostics_, {}, [](const Diagnostic& d) { return std::tie(d.place, d.message); });
  if (untold_ > 0)
    diagnostics_.push_back({.severity = failed() ? Severity::error : Severity::warning,
                            .place = diagnostics_.back().place,
                            .message = fmt::format("{} more are not told", untold_)});
  return std::move(diagnostics_);
}

}  // namespace cordon::policy
