#include "policy/read_values.h"

#include <fmt/format.h>

#include <cmath>

#include "policy/wording.h"

namespace cordon::policy {

std::optional<Timestamp> read_time(Reader& reader, const TomlEntry& entry) {
  const auto text = reader.text(entry);
  if (!text) return std::nullopt;
  const auto time = parse_rfc3339(*text);
  if (time) return *time;
  reader.error(entry.value.place,
               fmt::format("{} can't be {}: no time with an offset", in_quotes(entry.key), in_quotes(*text)),
               {"write it as \"2026-01-05T10:00:00+08:00\""});
  return std::nullopt;
}

std::optional<Seconds> read_duration(Reader& reader, const TomlEntry& entry, Seconds least, Seconds most) {
  constexpr std::string_view kHint = "write a whole number and a unit: \"90s\", \"15m\", \"8h\" or \"30d\"";
  const auto text = reader.text(entry, kHint);
  if (!text) return std::nullopt;
  const auto duration = parse_duration(*text);
  if (!duration) {
    reader.error(entry.value.place,
                 fmt::format("{} can't be {}: no duration", in_quotes(entry.key), in_quotes(*text)),
                 {std::string(kHint)});
    return std::nullopt;
  }
  if (*duration >= least && *duration <= most) return *duration;
  reader.error(entry.value.place,
               fmt::format("{} can't be {}: out of range", in_quotes(entry.key), in_quotes(*text)),
               {fmt::format("it is {} to {}", format_duration(least), format_duration(most))});
  return std::nullopt;
}

std::optional<int> read_number(Reader& reader, const TomlEntry& entry, int least, int most) {
  if (!reader.is_kind(entry, TomlNode::Kind::integer)) return std::nullopt;
  if (entry.value.integer >= least && entry.value.integer <= most)
    return static_cast<int>(entry.value.integer);
  reader.error(entry.value.place, fmt::format("{} can't be {}", in_quotes(entry.key), entry.value.integer),
               {fmt::format("it is a whole number from {} to {}", least, most)});
  return std::nullopt;
}

std::optional<int> read_fraction(Reader& reader, const TomlEntry& entry, int parts) {
  const TomlNode& value = entry.value;
  if (value.kind != TomlNode::Kind::integer && !reader.is_kind(entry, TomlNode::Kind::number))
    return std::nullopt;
  const bool whole = value.kind == TomlNode::Kind::integer;
  const double number = whole ? static_cast<double>(value.integer) : value.number;
  // A decimal such as 0.7 is off by far less than this, and nothing that people write lies so near to a step.
  constexpr double kSlack = 1e-9;
  const double scaled = number * parts;
  if (number >= 0 && number <= 1 && std::abs(scaled - std::round(scaled)) < kSlack)
    return static_cast<int>(std::lround(scaled));
  reader.error(value.place,
               fmt::format("{} can't be {}", in_quotes(entry.key),
                           whole ? fmt::format("{}", value.integer) : fmt::format("{}", number)),
               {fmt::format("it is 0.0 to 1.0 in steps of {}", 1.0 / parts)});
  return std::nullopt;
}

std::optional<Assurance> read_assurance(Reader& reader, const TomlEntry& entry) {
  return reader.choice<Assurance>(
      entry, {{"aal1", Assurance::aal1}, {"aal2", Assurance::aal2}, {"aal3", Assurance::aal3}});
}

std::optional<Attestation> read_attestation(Reader& reader, const TomlEntry& entry) {
  return reader.choice<Attestation>(entry, {{"software", Attestation::software}, {"tpm", Attestation::tpm}});
}

std::optional<Ownership> read_ownership(Reader& reader, const TomlEntry& entry) {
  return reader.choice<Ownership>(entry, {{"company", Ownership::company},
                                          {"personal", Ownership::personal},
                                          {"vendor", Ownership::vendor},
                                          {"partner", Ownership::partner}});
}

std::set<std::string> read_names(Reader& reader, const TomlEntry& entry, Empty empty) {
  std::set<std::string> names;
  for (Word& word : reader.words(entry, empty)) names.insert(std::move(word.text));
  return names;
}

}  // namespace cordon::policy
