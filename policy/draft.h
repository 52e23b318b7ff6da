#pragma once
// A policy between reading and resolving: definitions of all files, rules whose names are still words.

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "policy/model.h"
#include "policy/reader.h"

namespace cordon::policy {

struct DraftRule {
  Rule rule;                 ///< `to` and the names in `from` are filled by resolve()
  std::vector<Word> groups;  ///< as written in `from`
  std::vector<Word> segments;
  std::vector<Word> to;
};

struct Draft {
  std::map<std::string, Group> groups;
  std::map<std::string, Segment> segments;
  std::map<std::pair<std::string, std::string>, Place> service_places;  ///< by segment and service
  std::map<std::string, DraftRule> rules;                               ///< by name
};

/// Each reads one kind of top-level entry of a file into the draft.
void read_groups(Reader& reader, const TomlEntry& entry, Draft& draft);
void read_segments(Reader& reader, const TomlEntry& entry, Draft& draft);
void read_rules(Reader& reader, const TomlEntry& entry, Effect effect, Draft& draft);

/// Looks up every name that the rules use, and parses their destinations.
Policy resolve(Reader& reader, Draft draft);

/// Rules that can never hold, services no allow reaches, groups nobody uses.
void warn(Reader& reader, const Policy& policy,
          const std::map<std::pair<std::string, std::string>, Place>& service_places);

}  // namespace cordon::policy
