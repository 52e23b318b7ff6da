#include <fmt/format.h>
#include <fmt/ranges.h>

#include "policy/draft.h"
#include "policy/wording.h"

namespace cordon::policy {
namespace {

template <class Map>
std::vector<std::string_view> names_of(const Map& map) {
  std::vector<std::string_view> names;
  for (const auto& [name, value] : map) names.push_back(name);
  return names;
}

/// Turns the words of rules into names that exist.
class Resolver {
 public:
  Resolver(Reader& reader, const Policy& policy)
      : reader_(reader),
        policy_(policy),
        group_names_(names_of(policy.groups)),
        segment_names_(names_of(policy.segments)) {}

  Rule resolve(DraftRule draft) {
    for (Word& word : draft.groups)
      if (known(word, policy_.groups, group_names_, "group"))
        draft.rule.from.groups.insert(std::move(word.text));
    for (Word& word : draft.segments)
      if (known(word, policy_.segments, segment_names_, "segment"))
        draft.rule.from.segments.insert(std::move(word.text));
    for (const Word& word : draft.to)
      if (auto destination = destination_of(word)) draft.rule.to.push_back(std::move(*destination));
    return std::move(draft.rule);
  }

 private:
  template <class Map>
  bool known(const Word& word, const Map& map, const std::vector<std::string_view>& names,
             std::string_view concept_name) {
    if (map.contains(word.text)) return true;
    reader_.error(word.place, fmt::format("unknown {} {}", concept_name, in_quotes(word.text)),
                  reader_.suggest(word.text, names));
    return false;
  }

  /// "segment/service", "segment/*" or "segment access" (P8).
  std::optional<Destination> destination_of(const Word& word) {
    const std::string_view text = word.text;
    const auto space = text.find_first_of(" \t");
    const auto slash = text.find('/');
    if (space == std::string_view::npos && slash == std::string_view::npos) {
      reader_.error(word.place, fmt::format("destination {} names no service", in_quotes(text)),
                    {"write \"segment/service\", \"segment/*\" or \"segment tcp/22\""});
      return std::nullopt;
    }
    const bool ad_hoc = space != std::string_view::npos;
    Destination destination;
    destination.text = word.text;
    destination.segment = text.substr(0, ad_hoc ? space : slash);
    if (!known({destination.segment, word.place}, policy_.segments, segment_names_, "segment"))
      return std::nullopt;
    const std::string_view rest = text.substr((ad_hoc ? text.find_first_not_of(" \t", space) : slash + 1));
    return ad_hoc ? with_accesses(word, rest, std::move(destination))
                  : with_service(word, rest, std::move(destination));
  }

  std::optional<Destination> with_accesses(const Word& word, std::string_view rest, Destination destination) {
    auto accesses = parse_access(rest);
    if (!accesses) {
      reader_.error(word.place, accesses.error().what, {accesses.error().hint});
      return std::nullopt;
    }
    destination.accesses = std::move(*accesses);
    return destination;
  }

  std::optional<Destination> with_service(const Word& word, std::string_view rest, Destination destination) {
    if (rest == "*") return destination;
    const auto& services = policy_.segments.at(destination.segment).services;
    if (!services.contains(std::string(rest))) {
      auto hints = reader_.suggest(rest, names_of(services));
      if (hints.empty() && !services.empty() && services.size() <= 20)
        hints.push_back(fmt::format("its services are {}", fmt::join(names_of(services), ", ")));
      reader_.error(
          word.place,
          fmt::format("segment {} has no service {}", in_quotes(destination.segment), in_quotes(rest)),
          std::move(hints));
      return std::nullopt;
    }
    destination.service = rest;
    return destination;
  }

  Reader& reader_;
  const Policy& policy_;
  std::vector<std::string_view> group_names_, segment_names_;
};

}  // namespace

Policy resolve(Reader& reader, Draft draft) {
  Policy policy;
  policy.groups = std::move(draft.groups);
  policy.segments = std::move(draft.segments);
  Resolver resolver(reader, policy);
  for (auto& [name, rule] : draft.rules) policy.rules.push_back(resolver.resolve(std::move(rule)));
  return policy;
}

}  // namespace cordon::policy
