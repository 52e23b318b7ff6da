#include <fmt/format.h>

#include "policy/draft.h"
#include "policy/read_conditions.h"
#include "policy/read_values.h"
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
  reader.check_keys(from, "\"from\"", {"users", "groups", "devices", "segments", "tags"});
  Subject& subject = draft.rule.from;
  if (const auto* users = find(from, "users")) subject.users = read_names(reader, *users);
  if (const auto* tags = find(from, "tags")) subject.tags = read_names(reader, *tags);
  if (const auto* devices = find(from, "devices")) draft.device_classes = reader.words(*devices);
  if (const auto* groups = find(from, "groups")) draft.groups = reader.words(*groups);
  if (const auto* segments = find(from, "segments")) draft.segments = reader.words(*segments);

  const bool people = find(from, "users") || find(from, "groups");
  const bool machines = find(from, "segments") || find(from, "tags");
  if (people && machines)
    reader.error(entry.place, "\"from\" mixes people (users, groups) and machines (segments, tags)",
                 {"write two rules"});
  const TomlEntry* devices = find(from, "devices");
  if (!people && !machines && !devices)
    reader.error(entry.place, "\"from\" selects nobody", {"give it users, groups, segments or tags"});
  if (devices && !people)
    reader.error(devices->place, "\"devices\" narrows users or groups, and \"from\" has neither",
                 {"machines are selected by segments or tags"});
}

/// P10: an allow that reaches isolated devices is for groups of responders and nobody else.
void check_responders(Reader& reader, const DraftRule& draft) {
  const Rule& rule = draft.rule;
  if (!rule.responders || rule.effect != Effect::allow) return;
  if (draft.groups.empty() || !rule.from.users.empty() || !rule.from.tags.empty() || !draft.segments.empty())
    reader.error(rule.place,
                 fmt::format("allow {} is for responders, so \"from\" must be groups", in_quotes(rule.name)));
}

/// Does `from` select machines and nobody else? Then no condition may need a person.
bool is_for_machines(const TomlNode& rule) {
  const TomlEntry* from = find(rule, "from");
  return from && (find(from->value, "segments") || find(from->value, "tags")) &&
         !find(from->value, "users") && !find(from->value, "groups");
}

void read_rule_conditions(Reader& reader, const TomlNode& table, Draft& draft, Rule& rule) {
  const bool machines = is_for_machines(table);
  if (const TomlEntry* when = find(table, "when"))
    rule.when = read_conditions(
        reader, *when, rule.effect == Effect::allow ? ConditionsOf::allow_when : ConditionsOf::forbid_when,
        machines, draft);
  const TomlEntry* unless = find(table, "unless");
  if (unless && rule.effect == Effect::forbid)
    rule.unless = read_conditions(reader, *unless, ConditionsOf::unless, machines, draft);
}

DraftRule read_rule(Reader& reader, const TomlNode& table, Effect effect, Draft& draft) {
  DraftRule out;
  Rule& rule = out.rule;
  rule.effect = effect;
  rule.place = table.place;
  if (effect == Effect::allow)
    reader.check_keys(table, concept_of(effect),
                      {"name", "description", "from", "to", "when", "lease", "responders"});
  else
    reader.check_keys(table, concept_of(effect),
                      {"name", "description", "from", "to", "when", "unless", "responders"});
  for (const TomlEntry& field : table.entries) {
    if (field.key == "name") rule.name = reader.text(field).value_or("");
    if (field.key == "description") rule.description = reader.text(field).value_or("");
    if (field.key == "from") read_from(reader, field, out);
    if (field.key == "to") out.to = reader.words(field);
    if (field.key == "lease" && effect == Effect::allow)
      rule.lease = read_duration(reader, field, Seconds(1), kLongestLease).value_or(rule.lease);
    if (field.key == "responders") rule.responders = reader.boolean(field).value_or(false);
  }
  read_rule_conditions(reader, table, draft, rule);
  for (const std::string_view needed : {"name", "from", "to"})
    if (!find(table, needed))
      reader.error(table.place, fmt::format("{} needs {}", concept_of(effect), in_quotes(needed)));
  check_responders(reader, out);
  return out;
}

}  // namespace

std::vector<const TomlNode*> read_table_list(Reader& reader, const TomlEntry& entry) {
  std::vector<const TomlNode*> tables;
  const std::vector<std::string> hints{fmt::format("write [[{}]]", entry.key)};
  if (entry.value.kind != TomlNode::Kind::list) {
    reader.error(entry.place,
                 fmt::format("{} must be a list of tables, found {}", in_quotes(entry.key),
                             describe(entry.value.kind)),
                 hints);
    return tables;
  }
  for (const TomlNode& table : entry.value.items) {
    if (table.kind == TomlNode::Kind::table)
      tables.push_back(&table);
    else
      reader.error(table.place,
                   fmt::format("{} must hold tables, found {}", in_quotes(entry.key), describe(table.kind)),
                   hints);
  }
  return tables;
}

void read_rules(Reader& reader, const TomlEntry& entry, Effect effect, Draft& draft) {
  for (const TomlNode* table : read_table_list(reader, entry)) {
    DraftRule rule = read_rule(reader, *table, effect, draft);
    const TomlEntry* name = find(*table, "name");
    if (!name || name->value.kind != TomlNode::Kind::text) continue;  // reported already
    if (!reader.check_name({rule.rule.name, name->value.place}, "rule")) continue;
    std::string key = rule.rule.name;
    const auto [it, fresh] = draft.rules.emplace(std::move(key), std::move(rule));
    if (!fresh)
      reader.error(name->value.place, fmt::format("rule {} is defined twice", in_quotes(name->value.text)),
                   {}, {it->second.rule.place});
  }
}

}  // namespace cordon::policy
