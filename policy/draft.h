#pragma once
// A policy between reading and resolving: definitions of all files, and the words that must turn out to be
// names.

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/time_zone.h"
#include "policy/model.h"
#include "policy/reader.h"

namespace cordon::policy {

struct DraftRule {
  Rule rule;                 ///< `to` and the names in `from` are filled by resolve()
  std::vector<Word> groups;  ///< as written in `from`
  std::vector<Word> device_classes;
  std::vector<Word> segments;
  std::vector<Word> to;
};

struct DraftTest {
  PolicyTest test;  ///< segment, service and accesses are filled by resolve()
  std::optional<Word> access;
  std::optional<Word> rule;
};

/// Where things stand that the policy itself keeps no place of.
struct DefinitionPlaces {
  std::map<std::pair<std::string, std::string>, Place> services;  ///< by segment and service
  std::map<std::string, Place> checks;                            ///< the site's own
  std::map<std::string, Place> tables;  ///< those there is one of: trust, sessions, health
};

struct Draft {
  const TimeZones& zones;
  std::map<std::string, Group> groups{};
  std::map<std::string, DeviceClass> device_classes{};
  std::map<std::string, Segment> segments{};
  std::map<std::string, DraftRule> rules{};  ///< by name
  std::map<std::string, DraftTest> tests{};  ///< by name
  TrustSettings trust{};
  SessionSettings sessions{};
  HealthSettings health{};
  DefinitionPlaces places{};
  std::vector<Word> checks{};  ///< every use of a check, wherever it is; each must be known in the end
};

/// Each reads one kind of top-level entry of a file into the draft.
void read_groups(Reader& reader, const TomlEntry& entry, Draft& draft);
void read_device_classes(Reader& reader, const TomlEntry& entry, Draft& draft);
void read_segments(Reader& reader, const TomlEntry& entry, Draft& draft);
void read_rules(Reader& reader, const TomlEntry& entry, Effect effect, Draft& draft);
void read_trust(Reader& reader, const TomlEntry& entry, Draft& draft);
void read_sessions(Reader& reader, const TomlEntry& entry, Draft& draft);
void read_health(Reader& reader, const TomlEntry& entry, Draft& draft);
void read_tests(Reader& reader, const TomlEntry& entry, Draft& draft);

/// A list of checks, noted in the draft to be looked up.
std::set<std::string> read_checks(Reader& reader, const TomlEntry& entry, Draft& draft);

/// The tables of a list such as [[allow]]; anything else in it is reported.
std::vector<const TomlNode*> read_table_list(Reader& reader, const TomlEntry& entry);

/// Looks up every name that rules and tests use, and parses their destinations.
Policy resolve(Reader& reader, Draft draft);

/// Rules that can never hold, services no allow reaches, groups, device classes and checks nobody uses.
void warn(Reader& reader, const Policy& policy, const DefinitionPlaces& places);
/// Parts of it: conditions that can never hold or that the policy's method ignores; settings at odds with
/// each other.
void warn_of_conditions(Reader& reader, const Policy& policy, const Rule& rule);
void warn_of_settings(Reader& reader, const Policy& policy, const DefinitionPlaces& places);

}  // namespace cordon::policy
