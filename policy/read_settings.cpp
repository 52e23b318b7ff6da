// [trust], [sessions] and [health]: tables that a policy has one of.

#include <fmt/format.h>

#include "policy/draft.h"
#include "policy/read_values.h"
#include "policy/wording.h"

namespace cordon::policy {
namespace {

constexpr Seconds kLongestSession{12 * 3600}, kShortestIdle{15 * 60}, kLongestReportTimeout{30L * 24 * 3600};
constexpr int kTenths = 10, kHundredths = 100, kPoints = 100;

/// Is it a table, and the first of its name in all files?
bool is_first(Reader& reader, const TomlEntry& entry, Draft& draft) {
  if (!reader.is_kind(entry, TomlNode::Kind::table)) return false;
  const auto [it, fresh] = draft.places.tables.emplace(entry.key, entry.place);
  if (!fresh)
    reader.error(entry.place, fmt::format("table {} is defined twice", in_quotes(entry.key)),
                 {"a policy has one"}, {it->second});
  return fresh;
}

/// Weights by name; nothing when one of them is wrong or they don't add up to 1.0.
std::optional<std::map<std::string, int>> read_weights(Reader& reader, const TomlEntry& entry, int parts) {
  std::map<std::string, int> weights;
  int sum = 0;
  bool whole = true;
  for (const TomlEntry& field : entry.value.entries) {
    const auto weight = read_fraction(reader, field, parts);
    whole = whole && weight.has_value();
    weights.emplace(field.key, weight.value_or(0));
    sum += weight.value_or(0);
  }
  if (!whole) return std::nullopt;
  if (sum == parts) return weights;
  reader.error(entry.place, fmt::format("the weights in [trust.{}] add up to {}, not 1.0", entry.key,
                                        static_cast<double>(sum) / parts));
  return std::nullopt;
}

void read_health_weights(Reader& reader, const TomlEntry& entry, Draft& draft) {
  if (!reader.is_kind(entry, TomlNode::Kind::table)) return;
  for (const TomlEntry& field : entry.value.entries) draft.checks.push_back({field.key, field.place});
  if (auto weights = read_weights(reader, entry, kTenths)) draft.trust.health = std::move(*weights);
}

void read_trust_weights(Reader& reader, const TomlEntry& entry, TrustSettings& trust) {
  if (!reader.is_kind(entry, TomlNode::Kind::table)) return;
  reader.check_keys(entry.value, "\"weights\"", {"identity", "device", "behaviour"});
  auto weights = read_weights(reader, entry, kHundredths);
  if (!weights) return;
  trust.weights = {.identity = (*weights)["identity"],
                   .device = (*weights)["device"],
                   .behaviour = (*weights)["behaviour"]};
}

void read_identity(Reader& reader, const TomlEntry& entry, TrustSettings& trust) {
  if (!reader.is_kind(entry, TomlNode::Kind::table)) return;
  reader.check_keys(entry.value, "\"identity\"", {"aal1", "aal2", "aal3"});
  for (const TomlEntry& field : entry.value.entries)
    for (std::size_t level = 0; level < trust.identity.size(); ++level)
      if (field.key == fmt::format("aal{}", level + 1))
        trust.identity[level] = read_number(reader, field, 0, kPoints).value_or(trust.identity[level]);
}

void read_attestation_points(Reader& reader, const TomlEntry& entry, TrustSettings& trust) {
  if (!reader.is_kind(entry, TomlNode::Kind::table)) return;
  reader.check_keys(entry.value, "\"attestation\"", {"tpm"});
  if (const TomlEntry* tpm = find(entry.value, "tpm"))
    trust.tpm_points = read_number(reader, *tpm, 0, kPoints).value_or(0);
}

/// 0.7, or 7 tenths; a bare 1 could be either.
std::optional<int> read_tenths(Reader& reader, const TomlEntry& entry) {
  if (entry.value.kind != TomlNode::Kind::integer) return read_fraction(reader, entry, kTenths);
  if (entry.value.integer != 1) return read_number(reader, entry, 0, kTenths);
  reader.error(entry.value.place,
               fmt::format("{} can't be 1: it could mean all or one tenth", in_quotes(entry.key)),
               {"write 1.0 or 0.1"});
  return std::nullopt;
}

void read_own_checks(Reader& reader, const TomlEntry& entry, Draft& draft) {
  const std::map<std::string, int> standard = TrustSettings{}.health;
  for (const Word& word : reader.words(entry)) {
    if (!reader.check_name(word, "check")) continue;
    if (standard.contains(word.text))
      reader.error(word.place, fmt::format("check {} is one of the four standard ones", in_quotes(word.text)),
                   {"leave it out"});
    const auto [it, fresh] = draft.places.checks.emplace(word.text, word.place);
    if (!fresh)
      reader.error(word.place, fmt::format("check {} is defined twice", in_quotes(word.text)), {},
                   {it->second});
    draft.health.checks.insert(word.text);
  }
}

}  // namespace

void read_trust(Reader& reader, const TomlEntry& entry, Draft& draft) {
  if (!is_first(reader, entry, draft)) return;
  TrustSettings& trust = draft.trust;
  reader.check_keys(
      entry.value, "\"trust\"",
      {"method", "health", "weights", "identity", "attestation", "unattested_health_max", "hysteresis"});
  for (const TomlEntry& field : entry.value.entries) {
    if (field.key == "method")
      trust.method = reader
                         .choice<TrustMethod>(field, {{"rules", TrustMethod::rules},
                                                      {"score", TrustMethod::score},
                                                      {"hybrid", TrustMethod::hybrid}})
                         .value_or(TrustMethod::hybrid);
    if (field.key == "health") read_health_weights(reader, field, draft);
    if (field.key == "weights") read_trust_weights(reader, field, trust);
    if (field.key == "identity") read_identity(reader, field, trust);
    if (field.key == "attestation") read_attestation_points(reader, field, trust);
    if (field.key == "unattested_health_max")
      trust.unattested_health_max = read_tenths(reader, field).value_or(kTenths);
    if (field.key == "hysteresis") trust.hysteresis_tenths = read_tenths(reader, field).value_or(0);
  }
}

void read_sessions(Reader& reader, const TomlEntry& entry, Draft& draft) {
  if (!is_first(reader, entry, draft)) return;
  SessionSettings& sessions = draft.sessions;
  reader.check_keys(entry.value, "\"sessions\"", {"reauthenticate", "idle"});
  for (const TomlEntry& field : entry.value.entries) {
    if (field.key == "reauthenticate")
      sessions.reauthenticate =
          read_duration(reader, field, Seconds(1), kLongestSession).value_or(sessions.reauthenticate);
    if (field.key == "idle")
      sessions.idle = read_duration(reader, field, kShortestIdle, kLongestSession).value_or(sessions.idle);
  }
}

void read_health(Reader& reader, const TomlEntry& entry, Draft& draft) {
  if (!is_first(reader, entry, draft)) return;
  HealthSettings& health = draft.health;
  reader.check_keys(entry.value, "\"health\"", {"report_timeout", "checks"});
  for (const TomlEntry& field : entry.value.entries) {
    if (field.key == "report_timeout")
      health.report_timeout =
          read_duration(reader, field, Seconds(1), kLongestReportTimeout).value_or(health.report_timeout);
    if (field.key == "checks") read_own_checks(reader, field, draft);
  }
}

std::set<std::string> read_checks(Reader& reader, const TomlEntry& entry, Draft& draft) {
  std::set<std::string> checks;
  for (Word& word : reader.words(entry)) {
    checks.insert(word.text);
    draft.checks.push_back(std::move(word));
  }
  return checks;
}

}  // namespace cordon::policy
