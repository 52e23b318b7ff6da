#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

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

/// Turns the words of rules and tests into names that exist.
class Resolver {
 public:
  Resolver(Reader& reader, const Policy& policy)
      : reader_(reader),
        policy_(policy),
        group_names_(names_of(policy.groups)),
        class_names_(names_of(policy.device_classes)),
        segment_names_(names_of(policy.segments)) {}

  Rule resolve(DraftRule draft) {
    Subject& from = draft.rule.from;
    look_up(std::move(draft.groups), policy_.groups, group_names_, "group", from.groups);
    look_up(std::move(draft.device_classes), policy_.device_classes, class_names_, "device class",
            from.device_classes);
    look_up(std::move(draft.segments), policy_.segments, segment_names_, "segment", from.segments);
    for (const Word& word : draft.to)
      if (auto destination = destination_of(word)) draft.rule.to.push_back(std::move(*destination));
    return std::move(draft.rule);
  }

  PolicyTest resolve(DraftTest draft) {
    PolicyTest& test = draft.test;
    if (draft.access) resolve_access(*draft.access, test);
    if (draft.rule) resolve_rule(*draft.rule, test);
    return std::move(test);
  }

  /// Every use of a check: the standard ones and the site's own are known.
  void checks(const std::vector<Word>& words) {
    std::set<std::string> known = policy_.health.checks;
    for (const auto& [name, weight] : TrustSettings{}.health) known.insert(name);
    const std::vector<std::string_view> names(known.begin(), known.end());
    for (const Word& word : words) {
      if (known.contains(word.text)) continue;
      auto hints = reader_.suggest(word.text, names);
      if (hints.empty()) hints.emplace_back("the site's own checks are told in [health] checks");
      reader_.error(word.place, fmt::format("unknown check {}", in_quotes(word.text)), std::move(hints));
    }
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

  template <class Map>
  void look_up(std::vector<Word> words, const Map& map, const std::vector<std::string_view>& names,
               std::string_view concept_name, std::set<std::string>& found) {
    for (Word& word : words)
      if (known(word, map, names, concept_name)) found.insert(std::move(word.text));
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
    if (!ad_hoc) return with_service(word, text.substr(slash + 1), std::move(destination));
    const auto rest = text.find_first_not_of(" \t", space);
    return with_accesses(word, rest == std::string_view::npos ? "" : text.substr(rest),
                         std::move(destination));
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

  void resolve_access(const Word& word, PolicyTest& test) {
    auto destination = destination_of(word);
    if (!destination) return;
    if (destination->service.empty() && destination->accesses.empty()) {
      reader_.error(word.place, fmt::format("access {} is not one service", in_quotes(word.text)),
                    {"a test asks for \"segment/service\" or \"segment tcp/22\""});
      return;
    }
    test.segment = std::move(destination->segment);
    if (!destination->service.empty()) test.service = std::move(destination->service);
    test.accesses = std::move(destination->accesses);
  }

  void resolve_rule(const Word& word, PolicyTest& test) {
    const auto rule = std::ranges::lower_bound(policy_.rules, word.text, {}, &Rule::name);
    if (rule == policy_.rules.end() || rule->name != word.text) {
      std::vector<std::string_view> names;
      for (const Rule& one : policy_.rules) names.push_back(one.name);
      reader_.error(word.place, fmt::format("unknown rule {}", in_quotes(word.text)),
                    reader_.suggest(word.text, names));
    } else if (test.expect == Verdict::deny) {
      reader_.error(word.place, "a test that expects \"deny\" can't name a rule",
                    {"no rule decides a deny; a forbid is \"forbid\""});
    } else if ((test.expect == Verdict::allow) != (rule->effect == Effect::allow)) {
      reader_.error(word.place, fmt::format("rule {} is {}, and the test expects {}", in_quotes(word.text),
                                            rule->effect == Effect::allow ? "an allow" : "a forbid",
                                            in_quotes(to_string(test.expect))));
    }
    test.rule = word.text;
  }

  Reader& reader_;
  const Policy& policy_;
  std::vector<std::string_view> group_names_, class_names_, segment_names_;
};

}  // namespace

Policy resolve(Reader& reader, Draft draft) {
  Policy policy;
  policy.groups = std::move(draft.groups);
  policy.device_classes = std::move(draft.device_classes);
  policy.segments = std::move(draft.segments);
  policy.trust = std::move(draft.trust);
  policy.sessions = draft.sessions;
  policy.health = std::move(draft.health);
  Resolver resolver(reader, policy);
  resolver.checks(draft.checks);
  policy.rules.reserve(draft.rules.size());
  for (auto& [name, rule] : draft.rules) policy.rules.push_back(resolver.resolve(std::move(rule)));
  for (auto& [name, test] : draft.tests) policy.tests.push_back(resolver.resolve(std::move(test)));
  return policy;
}

}  // namespace cordon::policy
