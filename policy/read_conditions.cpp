#include "policy/read_conditions.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "policy/country_codes.h"
#include "policy/read_values.h"
#include "policy/wording.h"

namespace cordon::policy {
namespace {

const KeyList kConditions{"assurance",  "auth_age_max", "trust_min",       "health_min",
                          "require",    "attestation",  "hours",           "timezone",
                          "valid_from", "valid_until",  "source_networks", "countries"};
const KeyList kOfForbidWhen{"hours", "timezone", "valid_from", "valid_until", "source_networks", "countries"};
const KeyList kNeedPerson{"assurance", "auth_age_max", "trust_min"};
constexpr Seconds kOldestLogin{30L * 24 * 3600};
constexpr int kFullTrust = 100;
constexpr std::size_t kMostWindows = 100;  ///< of `hours`: each is looked at in every decision

bool is_among(KeyList keys, std::string_view key) {
  return std::ranges::find(keys, key) != keys.end();
}

/// Upper case of the text when that is a code; people write "tw" and "uk".
std::vector<std::string> meant_country(std::string_view text) {
  std::string upper(text.substr(0, 3));
  for (char& c : upper)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  if (upper == "UK") upper = "GB";
  if (is_country_code(upper)) return {fmt::format("did you mean {}?", in_quotes(upper))};
  return {"countries are ISO 3166 codes of two capital letters, such as \"TW\""};
}

class ConditionsReader {
 public:
  ConditionsReader(Reader& reader, const TomlNode& table, Draft& draft)
      : reader_(reader), table_(table), draft_(draft) {}

  Conditions read() {
    for (const TomlEntry& field : table_.entries) {
      if (field.key == "assurance") out_.assurance = read_assurance(reader_, field);
      if (field.key == "auth_age_max")
        out_.auth_age_max = read_duration(reader_, field, Seconds(1), kOldestLogin);
      if (field.key == "trust_min") out_.trust_min = read_number(reader_, field, 0, kFullTrust);
      if (field.key == "health_min") out_.health_min = read_fraction(reader_, field, 10);
      if (field.key == "require") out_.require = read_checks(reader_, field, draft_);
      if (field.key == "attestation") out_.attestation = read_attestation(reader_, field);
      if (field.key == "hours") read_hours(field);
      if (field.key == "timezone") check_timezone(field);
      if (field.key == "valid_from") out_.valid_from = read_time(reader_, field);
      if (field.key == "valid_until") out_.valid_until = read_time(reader_, field);
      if (field.key == "source_networks") read_networks(field);
      if (field.key == "countries") read_countries(field);
    }
    if (out_.valid_from && out_.valid_until && *out_.valid_until <= *out_.valid_from)
      reader_.error(find(table_, "valid_until")->value.place, "\"valid_until\" is not after \"valid_from\"",
                    {"no moment lies between them"});
    return std::move(out_);
  }

 private:
  void read_hours(const TomlEntry& entry) {
    Hours hours;
    std::vector<Word> words;
    if (entry.value.kind == TomlNode::Kind::list)
      words = reader_.words(entry);
    else if (reader_.is_kind(entry, TomlNode::Kind::text, "write \"Mon-Fri 08:00-18:00\" or a list of such"))
      words.push_back({entry.value.text, entry.value.place});
    if (words.size() > kMostWindows) {
      reader_.error(entry.place, fmt::format("\"hours\" holds {} windows; at most {} are read", words.size(),
                                             kMostWindows));
      words.clear();
    }
    for (const Word& word : words) {
      const auto window = parse_hours(word.text);
      if (window)
        hours.windows.push_back(*window);
      else
        reader_.error(word.place, window.error().what, {window.error().hint});
    }
    const TomlEntry* zone = find(table_, "timezone");
    if (!zone)
      reader_.error(entry.place, "\"hours\" needs \"timezone\" beside it",
                    {"write timezone = \"Asia/Taipei\", or \"UTC\""});
    else
      hours.zone = find_zone(*zone);
    std::ranges::sort(hours.windows);
    const auto repeated = std::ranges::unique(hours.windows);
    hours.windows.erase(repeated.begin(), repeated.end());
    if (hours.zone && !hours.windows.empty()) out_.hours = std::move(hours);
  }

  void check_timezone(const TomlEntry& entry) {
    if (find(table_, "hours")) return;  // read with them
    reader_.error(entry.place, "\"timezone\" has no \"hours\" beside it",
                  {"write hours = \"Mon-Fri 08:00-18:00\", or leave the time zone out"});
  }

  TimeZonePtr find_zone(const TomlEntry& entry) {
    const auto name = reader_.text(entry);
    if (!name) return nullptr;
    if (auto zone = draft_.zones.find(*name)) return zone;
    const std::vector<std::string> names = draft_.zones.names();
    reader_.error(entry.value.place, fmt::format("unknown time zone {}", in_quotes(*name)),
                  meant_zone(*name, names));
    return nullptr;
  }

  std::vector<std::string> meant_zone(std::string_view text, const std::vector<std::string>& names) {
    if (names.empty()) return {"this machine has no time zones: install tzdata"};
    for (const std::string& name : names)  // "Taipei" is "Asia/Taipei"
      if (name.ends_with(text) && name.size() > text.size() && name[name.size() - text.size() - 1] == '/')
        return {fmt::format("did you mean {}?", in_quotes(name))};
    auto hints = reader_.suggest(text, {names.begin(), names.end()});
    if (hints.empty()) hints.emplace_back("names are the tz database's, such as \"Asia/Taipei\"");
    return hints;
  }

  void read_networks(const TomlEntry& entry) {
    for (const Word& word : reader_.words(entry)) {
      const auto prefix = Prefix::parse(word.text);
      if (prefix)
        out_.source_networks.push_back(*prefix);
      else
        reader_.error(
            word.place, fmt::format("source network {}: {}", in_quotes(word.text), prefix.error().what),
            prefix.error().hint.empty() ? std::vector<std::string>{} : std::vector{prefix.error().hint});
    }
    std::ranges::sort(out_.source_networks);
    const auto repeated = std::ranges::unique(out_.source_networks);
    out_.source_networks.erase(repeated.begin(), repeated.end());
  }

  void read_countries(const TomlEntry& entry) {
    for (Word& word : reader_.words(entry)) {
      if (is_country_code(word.text))
        out_.countries.insert(std::move(word.text));
      else
        reader_.error(word.place, fmt::format("unknown country {}", in_quotes(word.text)),
                      meant_country(word.text));
    }
  }

  Reader& reader_;
  const TomlNode& table_;
  Draft& draft_;
  Conditions out_;
};

void check_condition_keys(Reader& reader, const TomlEntry& entry, ConditionsOf of, bool machines) {
  const TomlNode& table = entry.value;
  reader.check_keys(table, in_quotes(entry.key), kConditions);
  for (const TomlEntry& field : table.entries) {
    if (of == ConditionsOf::forbid_when && is_among(kConditions, field.key) &&
        !is_among(kOfForbidWhen, field.key))
      reader.error(field.place,
                   fmt::format("{} can't stand in the \"when\" of a forbid", in_quotes(field.key)),
                   {fmt::format("that takes {}; what lets people through goes into \"unless\"",
                                fmt::join(kOfForbidWhen, ", "))});
    else if (machines && is_among(kNeedPerson, field.key))
      reader.error(field.place,
                   fmt::format("{} needs a person, and the rule is for machines", in_quotes(field.key)),
                   {"ask for health_min, require or attestation, or write a rule for users or groups"});
  }
  if (table.entries.empty())
    reader.error(entry.place, fmt::format("{} holds no condition", in_quotes(entry.key)),
                 {"fill it or leave the key out"});
}

}  // namespace

Conditions read_conditions(Reader& reader, const TomlEntry& entry, ConditionsOf of, bool machines,
                           Draft& draft) {
  if (!reader.is_kind(entry, TomlNode::Kind::table)) return {};
  check_condition_keys(reader, entry, of, machines);
  return ConditionsReader(reader, entry.value, draft).read();
}

}  // namespace cordon::policy
