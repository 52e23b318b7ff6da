#include <fmt/format.h>

#include "policy/draft.h"
#include "policy/read_values.h"
#include "policy/wording.h"

namespace cordon::policy {
namespace {

std::set<Ownership> read_ownerships(Reader& reader, const TomlEntry& entry) {
  std::set<Ownership> out;
  for (Word& word : reader.words(entry)) {
    const TomlEntry one{
        .key = entry.key,
        .place = word.place,
        .value = {.kind = TomlNode::Kind::text, .place = word.place, .text = std::move(word.text)}};
    if (const auto ownership = read_ownership(reader, one)) out.insert(*ownership);
  }
  return out;
}

DeviceClass read_device_class(Reader& reader, const TomlEntry& entry, Draft& draft) {
  DeviceClass out;
  out.place = entry.place;
  reader.check_keys(entry.value, "a device class",
                    {"ownership", "tags", "health_min", "require", "attestation"});
  for (const TomlEntry& field : entry.value.entries) {
    if (field.key == "ownership") out.ownership = read_ownerships(reader, field);
    if (field.key == "tags") out.tags = read_names(reader, field);
    if (field.key == "health_min") out.health_min = read_fraction(reader, field, 10);
    if (field.key == "require") out.require = read_checks(reader, field, draft);
    if (field.key == "attestation") out.attestation = read_attestation(reader, field);
  }
  if (entry.value.entries.empty())
    reader.error(entry.place, fmt::format("device class {} asks for nothing", in_quotes(entry.key)),
                 {"give it ownership, tags, health_min, require or attestation"});
  return out;
}

}  // namespace

void read_device_classes(Reader& reader, const TomlEntry& entry, Draft& draft) {
  if (!reader.is_kind(entry, TomlNode::Kind::table)) return;
  for (const TomlEntry& one : entry.value.entries) {
    if (!reader.check_name({one.key, one.place}, "device class") ||
        !reader.is_kind(one, TomlNode::Kind::table))
      continue;
    const auto [it, fresh] = draft.device_classes.emplace(one.key, read_device_class(reader, one, draft));
    if (!fresh)
      reader.error(one.place, fmt::format("device class {} is defined twice", in_quotes(one.key)), {},
                   {it->second.place});
  }
}

}  // namespace cordon::policy
