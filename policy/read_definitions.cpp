#include <fmt/format.h>

#include <algorithm>

#include "policy/draft.h"
#include "policy/wording.h"

namespace cordon::policy {
namespace {

/// Keeps the first definition of a name and reports any other with both places.
template <class Map, class Value>
bool define(Reader& reader, Map& map, const std::string& name, Value value, std::string_view concept_name) {
  const Place place = value.place;
  const auto [it, fresh] = map.emplace(name, std::move(value));
  if (!fresh)
    reader.error(place, fmt::format("{} {} is defined twice", concept_name, in_quotes(name)), {},
                 {it->second.place});
  return fresh;
}

Group read_group(Reader& reader, const TomlEntry& entry) {
  Group group{.users = {}, .claims = {}, .place = entry.place};
  reader.check_keys(entry.value, "a group", {"users", "claims"});
  if (const auto* users = find(entry.value, "users"))
    for (Word& word : reader.words(*users)) group.users.insert(std::move(word.text));
  if (const auto* claims = find(entry.value, "claims"))
    for (Word& word : reader.words(*claims)) {
      const auto colon = word.text.find(':');
      if (colon == 0 || colon == std::string::npos || colon + 1 == word.text.size())
        reader.error(word.place, fmt::format("claim {} names no provider", in_quotes(word.text)),
                     {"write \"provider:claim\""});
      else
        group.claims.insert(std::move(word.text));
    }
  if (!find(entry.value, "users") && !find(entry.value, "claims"))
    reader.error(entry.place, fmt::format("group {} selects nobody", in_quotes(entry.key)),
                 {"give it users or claims"});
  return group;
}

bool is_device_id(std::string_view text) {
  return !text.empty() && text.size() <= 63 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

std::vector<Member> read_members(Reader& reader, const TomlEntry& entry) {
  std::vector<Member> members;
  for (const Word& word : reader.words(entry)) {
    const std::string_view text = word.text;
    if (text.starts_with("tag:") && text.size() > 4) {
      members.push_back({Member::Kind::tag, std::string(text.substr(4))});
    } else if (text.starts_with("device:") && is_device_id(text.substr(7))) {
      members.push_back({Member::Kind::device, std::string(text.substr(7))});
    } else {
      reader.error(word.place, fmt::format("member {} is neither a tag nor a device", in_quotes(text)),
                   {"write \"tag:NAME\" or \"device:ID\""});
    }
  }
  std::ranges::sort(members);
  const auto repeated = std::ranges::unique(members);
  members.erase(repeated.begin(), repeated.end());
  return members;
}

std::vector<Access> read_accesses(Reader& reader, const TomlEntry& entry) {
  std::vector<Access> accesses;
  for (const Word& word : reader.words(entry)) {
    const auto parsed = parse_access(word.text);
    if (!parsed)
      reader.error(word.place, parsed.error().what, {parsed.error().hint});
    else
      accesses.insert(accesses.end(), parsed->begin(), parsed->end());
  }
  return accesses;
}

void read_services(Reader& reader, const std::string& segment_name, const TomlEntry& entry, Segment& segment,
                   Draft& draft) {
  if (!reader.is_kind(entry, TomlNode::Kind::table)) return;
  for (const TomlEntry& service : entry.value.entries) {
    if (!reader.check_name({service.key, service.place}, "service", "/* \t")) continue;
    segment.services.emplace(service.key, read_accesses(reader, service));
    draft.places.services.emplace(std::pair(segment_name, service.key), service.place);
  }
}

Segment read_segment(Reader& reader, const TomlEntry& entry, Draft& draft) {
  Segment segment;
  segment.place = entry.place;
  reader.check_keys(entry.value, "a segment",
                    {"members", "mode", "underlay", "sensitivity", "owner", "description", "services"});
  for (const TomlEntry& field : entry.value.entries) {
    if (field.key == "members") segment.members = read_members(reader, field);
    if (field.key == "services") read_services(reader, entry.key, field, segment, draft);
    if (field.key == "underlay")
      segment.underlay =
          reader
              .choice<Underlay>(
                  field, {{"guard", Underlay::guard}, {"closed", Underlay::closed}, {"open", Underlay::open}})
              .value_or(Underlay::guard);
    if (field.key == "owner") segment.owner = reader.text(field).value_or("");
    if (field.key == "description") segment.description = reader.text(field).value_or("");
    if (field.key == "mode")
      segment.mode = reader.choice<Mode>(field, {{"enforce", Mode::enforce}, {"observe", Mode::observe}})
                         .value_or(Mode::enforce);
    if (field.key == "sensitivity")
      segment.sensitivity = reader.choice<Sensitivity>(
          field, {{"low", Sensitivity::low}, {"medium", Sensitivity::medium}, {"high", Sensitivity::high}});
  }
  if (!find(entry.value, "members"))
    reader.error(entry.place, fmt::format("segment {} has no members", in_quotes(entry.key)),
                 {"add members = [\"tag:NAME\"]"});
  return segment;
}

}  // namespace

void read_groups(Reader& reader, const TomlEntry& entry, Draft& draft) {
  if (!reader.is_kind(entry, TomlNode::Kind::table)) return;
  for (const TomlEntry& group : entry.value.entries)
    if (reader.check_name({group.key, group.place}, "group") && reader.is_kind(group, TomlNode::Kind::table))
      define(reader, draft.groups, group.key, read_group(reader, group), "group");
}

void read_segments(Reader& reader, const TomlEntry& entry, Draft& draft) {
  if (!reader.is_kind(entry, TomlNode::Kind::table)) return;
  for (const TomlEntry& segment : entry.value.entries)
    if (reader.check_name({segment.key, segment.place}, "segment", "/* \t") &&
        reader.is_kind(segment, TomlNode::Kind::table))
      define(reader, draft.segments, segment.key, read_segment(reader, segment, draft), "segment");
}

}  // namespace cordon::policy
