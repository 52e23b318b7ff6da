#include "policy/read_facts.h"

#include <fmt/format.h>

#include <algorithm>

#include "policy/read_values.h"
#include "policy/wording.h"

namespace cordon::policy {
namespace {

constexpr int kHighestCost = 100;

/// A name to be looked up later: not empty, no control characters.
std::string read_id(Reader& reader, const TomlEntry& entry, std::string_view concept_name) {
  const auto text = reader.text(entry);
  if (!text || !reader.check_name({*text, entry.value.place}, concept_name)) return {};
  return *text;
}

std::optional<Address> read_address(Reader& reader, const Place& place, std::string_view key,
                                    const std::string& text) {
  auto address = Address::parse(text);
  if (address && !address->is_unspecified()) return *address;
  reader.error(place, fmt::format("{} can't be {}: no address", in_quotes(key), in_quotes(text)),
               {"write \"192.0.2.7\" or \"2001:db8::7\""});
  return std::nullopt;
}

void read_addresses(Reader& reader, const TomlEntry& entry, OverlayAddresses& addresses) {
  OverlayAddresses found;
  for (const Word& word : reader.words(entry, Empty::allowed)) {
    const auto address = read_address(reader, word.place, entry.key, word.text);
    if (!address) continue;
    Address& slot = address->is_v4() ? found.v4 : found.v6;
    if (slot != Address{})
      reader.error(word.place, fmt::format("{} holds two of one family", in_quotes(entry.key)),
                   {"one IPv4 and one IPv6 address can be given"});
    slot = *address;
  }
  addresses = found;
}

std::optional<std::string> read_country(Reader& reader, const TomlEntry& entry) {
  const auto text = reader.text(entry);
  if (!text) return std::nullopt;
  if (text->size() == 2 && std::ranges::all_of(*text, [](char c) { return c >= 'A' && c <= 'Z'; }))
    return text;
  reader.error(entry.value.place, fmt::format("{} can't be {}", in_quotes(entry.key), in_quotes(*text)),
               {"it is an ISO 3166 code of two capital letters, such as \"TW\""});
  return std::nullopt;
}

Signal read_signal(Reader& reader, const TomlNode& table) {
  Signal signal{.name = {}, .cost = kHighestCost, .until = kNever};  // what isn't told never helps (P3)
  reader.check_keys(table, "a signal", {"name", "cost", "until"});
  for (const TomlEntry& field : table.entries) {
    if (field.key == "name") signal.name = reader.text(field).value_or("");
    if (field.key == "cost") signal.cost = read_number(reader, field, 0, kHighestCost).value_or(kHighestCost);
    if (field.key == "until") signal.until = read_time(reader, field).value_or(kNever);
  }
  return signal;
}

void read_signals(Reader& reader, const TomlEntry& entry, std::vector<Signal>& signals) {
  if (!reader.is_kind(entry, TomlNode::Kind::list)) return;
  signals.clear();
  for (const TomlNode& item : entry.value.items) {
    if (item.kind == TomlNode::Kind::table)
      signals.push_back(read_signal(reader, item));
    else
      reader.error(item.place,
                   fmt::format("{} must hold tables, found {}", in_quotes(entry.key), describe(item.kind)));
  }
}

}  // namespace

void read_device(Reader& reader, const TomlNode& table, Device& device) {
  reader.check_keys(
      table, "a device",
      {"id", "tags", "ownership", "checks", "attestation", "source", "country", "isolated", "addresses"});
  for (const TomlEntry& field : table.entries) {
    if (field.key == "id") device.id = DeviceId(read_id(reader, field, "device"));
    if (field.key == "tags") device.tags = read_names(reader, field, Empty::allowed);
    if (field.key == "ownership") device.ownership = read_ownership(reader, field);
    if (field.key == "checks") device.checks = read_names(reader, field, Empty::allowed);
    if (field.key == "attestation") device.attestation = read_attestation(reader, field);
    if (field.key == "country") device.country = read_country(reader, field);
    if (field.key == "isolated") device.isolated = reader.boolean(field).value_or(false);
    if (field.key == "addresses") read_addresses(reader, field, device.addresses);
    if (field.key == "source")
      if (const auto text = reader.text(field))
        device.source = read_address(reader, field.value.place, field.key, *text);
  }
}

bool read_session_field(Reader& reader, const TomlEntry& entry, Session& session, std::string& user) {
  if (entry.key == "id") {
    session.id = SessionId(read_id(reader, entry, "session"));
  } else if (entry.key == "user") {
    user = read_id(reader, entry, "user");
    session.user = SubjectId(user);
  } else if (entry.key == "claims") {
    session.claims = read_names(reader, entry, Empty::allowed);
  } else if (entry.key == "assurance") {
    session.assurance = read_assurance(reader, entry);
  } else if (entry.key == "authenticated_at") {
    session.authenticated_at = read_time(reader, entry);
  } else if (entry.key == "ends_at") {
    session.ends_at = read_time(reader, entry).value_or(kNever);
  } else if (entry.key == "signals") {
    read_signals(reader, entry, session.signals);
  } else if (entry.key == "addresses") {
    read_addresses(reader, entry, session.addresses);
  } else {
    return false;
  }
  return true;
}

void read_session(Reader& reader, const TomlNode& table, Session& session, std::string& user) {
  reader.check_keys(
      table, "a session",
      {"id", "user", "claims", "device", "assurance", "authenticated_at", "ends_at", "signals", "addresses"});
  for (const TomlEntry& field : table.entries) {
    if (field.key == "device")
      session.device = DeviceId(read_id(reader, field, "device"));
    else
      read_session_field(reader, field, session, user);
  }
}

}  // namespace cordon::policy
