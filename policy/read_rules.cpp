#include <fmt/format.h>

#include "policy/draft.h"
#include "policy/wording.h"

namespace cordon::policy {
namespace {

constexpr Seconds kLongestLease{30L * 24 * 3600};

std::string_view concept_of(Effect effect) {
  return effect == Effect::allow ? "an allow" : "a forbid";
}

void read_from(Reader& reader, const TomlEntry& entry, DraftRule& draft) {
  if (!reader.is_kind(entry, TomlNode::Kind::table)) return;
  const TomlNode& from = entry.value;
  reader.check_keys(from, "\"from\"", {"users", "groups", "segments", "tags"}, {"devices"});
  Subject& subject = draft.rule.from;
  if (const auto* users = find(from, "users"))
    for (Word& word : reader.words(*users)) subject.users.insert(std::move(word.text));
  if (const auto* tags = find(from, "tags"))
    for (Word& word : reader.words(*tags)) subject.tags.insert(std::move(word.text));
  if (const auto* groups = find(from, "groups")) draft.groups = reader.words(*groups);
  if (const auto* segments = find(from, "segments")) draft.segments = reader.words(*segments);

  const bool people = find(from, "users") || find(from, "groups") || find(from, "devices");
  const bool machines = find(from, "segments") || find(from, "tags");
  if (people && machines)
    reader.error(entry.place, "\"from\" mixes people (users, groups) and machines (segments, tags)",
                 {"write two rules"});
  if (!people && !machines)
    reader.error(entry.place, "\"from\" selects nobody", {"give it users, groups, segments or tags"});
}

void read_lease(Reader& reader, const TomlEntry& entry, Rule& rule) {
  const auto text = reader.text(entry);
  if (!text) return;
  const auto lease = parse_duration(*text);
  if (!lease)
    reader.error(entry.value.place, fmt::format("lease {} is no duration", in_quotes(*text)),
                 {"write \"90s\", \"15m\" or \"8h\""});
  else if (*lease < Seconds(1) || *lease > kLongestLease)
    reader.error(entry.value.place, fmt::format("lease {} is out of range", in_quotes(*text)),
                 {fmt::format("it can be 1s to {}", format_duration(kLongestLease))});
  else
    rule.lease = *lease;
}

/// P10: an allow that reaches isolated devices is for groups of responders and nobody else.
void check_responders(Reader& reader, const DraftRule& draft) {
  const Rule& rule = draft.rule;
  if (!rule.responders || rule.effect != Effect::allow) return;
  if (draft.groups.empty() || !rule.from.users.empty() || !rule.from.tags.empty() || !draft.segments.empty())
    reader.error(rule.place,
                 fmt::format("allow {} is for responders, so \"from\" must be groups", in_quotes(rule.name)));
}

DraftRule read_rule(Reader& reader, const TomlNode& table, Effect effect) {
  DraftRule draft;
  draft.rule.effect = effect;
  draft.rule.place = table.place;
  if (effect == Effect::allow)
    reader.check_keys(table, concept_of(effect), {"name", "description", "from", "to", "lease", "responders"},
                      {"when"});
  else
    reader.check_keys(table, concept_of(effect), {"name", "description", "from", "to", "responders"},
                      {"when", "unless"});
  for (const TomlEntry& field : table.entries) {
    if (field.key == "name") draft.rule.name = reader.text(field).value_or("");
    if (field.key == "description") draft.rule.description = reader.text(field).value_or("");
    if (field.key == "from") read_from(reader, field, draft);
    if (field.key == "to") draft.to = reader.words(field);
    if (field.key == "lease" && effect == Effect::allow) read_lease(reader, field, draft.rule);
    if (field.key == "responders") draft.rule.responders = reader.boolean(field).value_or(false);
  }
  for (const std::string_view needed : {"name", "from", "to"})
    if (!find(table, needed))
      reader.error(table.place, fmt::format("{} needs {}", concept_of(effect), in_quotes(needed)));
  check_responders(reader, draft);
  return draft;
}

}  // namespace

void read_rules(Reader& reader, const TomlEntry& entry, Effect effect, Draft& draft) {
  if (entry.value.kind != TomlNode::Kind::list) {
    reader.error(entry.place,
                 fmt::format("{} must be a list of tables, found {}", in_quotes(entry.key),
                             describe(entry.value.kind)),
                 {fmt::format("write [[{}]]", entry.key)});
    return;
  }
  for (const TomlNode& table : entry.value.items) {
    if (table.kind != TomlNode::Kind::table) {
      reader.error(table.place,
                   fmt::format("{} must hold tables, found {}", in_quotes(entry.key), describe(table.kind)),
                   {fmt::format("write [[{}]]", entry.key)});
      continue;
    }
    DraftRule rule = read_rule(reader, table, effect);
    const TomlEntry* name = find(table, "name");
    if (!name || name->value.kind != TomlNode::Kind::text) continue;  // reported already
    if (!reader.check_name({rule.rule.name, name->value.place}, "rule")) continue;
    const auto [it, fresh] = draft.rules.emplace(rule.rule.name, std::move(rule));
    if (!fresh)
      reader.error(name->value.place, fmt::format("rule {} is defined twice", in_quotes(name->value.text)),
                   {}, {it->second.rule.place});
  }
}

}  // namespace cordon::policy
