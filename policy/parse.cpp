#include "policy/parse.h"

#include <algorithm>
#include <memory>
#include <tuple>

#include "policy/draft.h"

namespace cordon::policy {
namespace {

void read_file(Reader& reader, const SourceFile& file, std::size_t& values_left, Draft& draft) {
  TomlResult toml = read_toml(file, values_left);
  if (!toml.root) return reader.add(std::move(*toml.problem));
  reader.check_keys(
      *toml.root, "a policy",
      {"groups", "device_classes", "segments", "allow", "forbid", "trust", "sessions", "health", "test"});
  for (const TomlEntry& entry : toml.root->entries) {
    if (entry.key == "groups") read_groups(reader, entry, draft);
    if (entry.key == "device_classes") read_device_classes(reader, entry, draft);
    if (entry.key == "segments") read_segments(reader, entry, draft);
    if (entry.key == "allow") read_rules(reader, entry, Effect::allow, draft);
    if (entry.key == "forbid") read_rules(reader, entry, Effect::forbid, draft);
    if (entry.key == "trust") read_trust(reader, entry, draft);
    if (entry.key == "sessions") read_sessions(reader, entry, draft);
    if (entry.key == "health") read_health(reader, entry, draft);
    if (entry.key == "test") read_tests(reader, entry, draft);
  }
}

}  // namespace

ParseResult parse(const std::vector<SourceFile>& files, const TimeZones& zones) {
  // By name, so that the order in which files are handed over changes nothing, diagnostics included.
  std::vector<const SourceFile*> sorted;
  for (const SourceFile& file : files) sorted.push_back(&file);
  std::ranges::sort(sorted, {}, [](const SourceFile* f) { return std::tie(f->name, f->text); });

  Reader reader;
  Draft draft{.zones = zones};
  std::size_t values_left = kMaxPolicyValues;
  for (const SourceFile* file : sorted) read_file(reader, *file, values_left, draft);
  const DefinitionPlaces places = draft.places;
  auto policy = std::make_shared<const Policy>(resolve(reader, std::move(draft)));
  if (!reader.failed()) warn(reader, *policy, places);
  ParseResult result{.policy = reader.failed() ? nullptr : std::move(policy), .diagnostics = {}};
  result.diagnostics = reader.take();
  return result;
}

}  // namespace cordon::policy
