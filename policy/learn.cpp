#include "policy/learn.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>

#include "policy/coverage.h"
#include "policy/learn_select.h"
#include "policy/learn_text.h"
#include "policy/plan_side.h"
#include "policy/recorded_askers.h"
#include "policy/wording.h"

namespace cordon::policy {
namespace {

/// Flows of one source to one port, whichever device of the segment they went to.
struct Atom {
  std::vector<const ObservedFlow*> flows;
  std::uint64_t count = 0;
};
using AtomKey = std::pair<LearnSource, Access>;

/// What a rule's `to` says: a service of the segment, or an access.
struct LearnGoal {
  std::string service;
  Access access;  ///< without service
  auto operator<=>(const LearnGoal&) const = default;
};

std::size_t width(const Access& access) {
  return access.protocol ? std::size_t{1} + access.ports.last - access.ports.first : SIZE_MAX / 1024;
}

/// For a name made of others: no control characters or quotes, and not cut within a character.
std::string part_of_name(std::string_view text) {
  constexpr std::size_t kMost = 50;
  std::string out;
  for (const char c : text.substr(0, kMost + 4)) {
    const auto byte = static_cast<unsigned char>(c);
    if (out.size() >= kMost && (byte & 0xc0) != 0x80) break;
    out += byte <= 0x20 || byte == 0x7f || c == '"' || c == '\\' ? '-' : c;
  }
  return out;
}

class Learner {
 public:
  Learner(const World& world, const LearnQuestion& question, Timestamp now)
      : world_(world),
        question_(question),
        side_(*world.policy, now),
        select_(world, side_),
        segment_(world.policy->segments.at(question.segment)),
        position_(side_.selectors().position_of(question.segment)),
        askers_(world, now) {}

  Lesson learn() {
    for (const ObservedFlow& flow : question_.flows) take(flow);
    leave_out_one_offs();
    make_rules();
    std::ranges::stable_sort(lesson_.left_out, std::ranges::greater{},
                             [](const LeftOut& left) { return left.flow.count; });
    lesson_.text = text_of(world_, question_, lesson_, segments_);
    return std::move(lesson_);
  }

 private:
  void leave_out(const ObservedFlow& flow, std::string why) {
    lesson_.flows_left_out += flow.count;
    lesson_.left_out.push_back({.flow = flow, .why = std::move(why)});
  }

  /// The rules that hold for whoever sent it; null: nobody whom a rule could select.
  const Positions* rules_of(const ObservedFlow& flow) {
    const Asker& asker = askers_.find(flow);
    if (asker.device == nullptr) return nullptr;
    const auto [it, fresh] = rules_.try_emplace(&asker);
    if (fresh) it->second = side_.rules_that_hold(asker);
    return &it->second;
  }

  void take(const ObservedFlow& flow) {
    const auto target = world_.devices.find(flow.target);
    if (target == world_.devices.end()) return;
    const Positions segments = side_.selectors().segments_of(target->second);
    if (!std::ranges::binary_search(segments, position_)) return;
    if (target->second.cut_off()) return leave_out(flow, "its target is isolated");
    const Positions* rules = rules_of(flow);
    if (rules == nullptr) return leave_out(flow, "nobody known and active sent it");
    const ReachMap reach = side_.reach(*rules, segments, false);
    if (const Offering* decides = reach.at(flow.protocol, flow.port)) {
      if (!is_allow(decides))
        return leave_out(flow, fmt::format("rule \"{}\" forbids it", decides->rule->name));
      lesson_.flows_allowed += flow.count;
      return;
    }
    const Access access{.protocol = flow.protocol, .ports = {flow.port, flow.port}};
    if (!parse_access(to_string(access)))
      return leave_out(flow, "a policy has no word for its protocol alone");
    const bool person = !flow.person.value.empty();
    Atom& atom =
        atoms_[{LearnSource{.person = person, .id = person ? flow.person.value : flow.source.value}, access}];
    atom.flows.push_back(&flow);
    atom.count += flow.count;
  }

  void leave_out_one_offs() {
    for (auto it = atoms_.begin(); it != atoms_.end();) {
      if (it->second.count > question_.one_off) {
        ++it;
        continue;
      }
      for (const ObservedFlow* flow : it->second.flows)
        leave_out(*flow,
                  it->second.count == 1 ? "seen once" : fmt::format("seen {} times", it->second.count));
      it = atoms_.erase(it);
    }
  }

  /// The narrowest service that takes the access in, or the access itself. One that opens a whole protocol is
  /// no choice.
  LearnGoal goal_of(const Access& access) const {
    LearnGoal goal{.service = "", .access = access};
    std::size_t best = SIZE_MAX;
    for (const auto& [name, accesses] : segment_.services) {
      std::size_t size = 0;
      bool takes_in = false, whole = false;
      for (const Access& offered : accesses) {
        size += width(offered);
        takes_in |= covers(offered, access);
        whole |= !offered.protocol || offered.ports.all();
      }
      if (!takes_in || whole || size >= best) continue;
      best = size;
      goal = {.service = name, .access = {}};
    }
    return goal;
  }

  void make_rules() {
    std::map<std::pair<bool, LearnGoal>, std::set<LearnSource>> sources;  // people and machines apart (P2)
    for (const auto& [key, atom] : atoms_) sources[{key.first.person, goal_of(key.second)}].insert(key.first);
    std::map<LearnSelectors, std::set<LearnGoal>> goals;  // the same selectors: one rule
    for (const auto& [key, wanted] : sources) goals[select_.cover(wanted)].insert(key.second);
    for (const auto& [selectors, wanted] : goals) add_rule(selectors, wanted, sources);
    std::ranges::stable_sort(lesson_.rules, std::ranges::greater{}, &LearnedRule::flows);
  }

  void add_rule(const LearnSelectors& selectors, const std::set<LearnGoal>& goals,
                const std::map<std::pair<bool, LearnGoal>, std::set<LearnSource>>& sources) {
    LearnedRule rule;
    const bool people = selectors.begin()->kind == LearnSelector::Kind::group ||
                        selectors.begin()->kind == LearnSelector::Kind::user;
    name_sources(rule, selectors);
    rule.to = texts_of(goals);
    for (const LearnGoal& goal : goals) {
      const std::set<LearnSource>& seen = sources.at({people, goal});
      for (const LearnSelector& selector : selectors)
        for (const LearnSource& source : select_.selected_by(selector))
          if (!seen.contains(source)) rule.beyond.insert(select_.name_of(source));
    }
    for (const auto& [key, atom] : atoms_) {
      if (key.first.person != people || !goals.contains(goal_of(key.second))) continue;
      (people ? rule.people : rule.machines).insert(select_.name_of(key.first));
      rule.flows += atom.count;
      for (const ObservedFlow* flow : atom.flows)
        for (const Timestamp at : {flow->first, flow->last})
          rule.days.insert(format_rfc3339(at).substr(0, 10));
    }
    lesson_.flows_covered += rule.flows;
    lesson_.rules.push_back(std::move(rule));
  }

  void name_sources(LearnedRule& rule, const LearnSelectors& selectors) {
    std::set<std::string> devices;
    for (const LearnSelector& selector : selectors) switch (selector.kind) {
        case LearnSelector::Kind::group:
          rule.from.groups.insert(selector.name);
          break;
        case LearnSelector::Kind::user:
          rule.from.users.insert(selector.name);
          break;
        case LearnSelector::Kind::segment:
          rule.from.segments.insert(selector.name);
          break;
        case LearnSelector::Kind::tag:
          rule.from.tags.insert(selector.name);
          break;
        case LearnSelector::Kind::device:
          devices.insert(selector.name);
          break;
      }
    const std::string first =
        devices.empty() || selectors.size() > devices.size() ? selectors.begin()->name : "machines";
    rule.name = free_name(fmt::format("{}-from-{}", part_of_name(question_.segment), part_of_name(first)),
                          [&](const std::string& name) {
                            return names_.contains(name) ||
                                   std::ranges::any_of(world_.policy->rules,
                                                       [&](const Rule& known) { return known.name == name; });
                          });
    names_.insert(rule.name);
    if (devices.empty()) return;
    const std::string segment =
        free_name(part_of_name(question_.segment) + "-clients", [&](const std::string& name) {
          return world_.policy->segments.contains(name) || segments_.contains(name);
        });
    segments_.emplace(segment, devices);
    rule.from.segments.insert(segment);
  }

  static std::string free_name(const std::string& wanted,
                               const std::function<bool(const std::string&)>& taken) {
    std::string name = wanted;
    for (int i = 2; taken(name); ++i) name = fmt::format("{}-{}", wanted, i);
    return name;
  }

  /// Services, then accesses; ports that touch are one range (types of ICMP have no ranges).
  std::vector<std::string> texts_of(const std::set<LearnGoal>& goals) const {
    std::vector<std::string> out;
    std::vector<Access> accesses;
    for (const LearnGoal& goal : goals) {
      if (!goal.service.empty()) {
        out.push_back(fmt::format("{}/{}", question_.segment, goal.service));
        continue;
      }
      const bool ranges = goal.access.protocol != kIcmp && goal.access.protocol != kIcmpv6;
      const bool touches = !accesses.empty() && accesses.back().protocol == goal.access.protocol &&
                           accesses.back().ports.last + 1 == goal.access.ports.first;
      if (ranges && touches)
        accesses.back().ports.last = goal.access.ports.last;
      else
        accesses.push_back(goal.access);
    }
    std::ranges::sort(out);
    const std::vector<Access> echo = parse_access("ping").value();
    if (std::ranges::all_of(
            echo, [&](const Access& a) { return std::ranges::find(accesses, a) != accesses.end(); })) {
      std::erase_if(accesses, [&](const Access& a) { return std::ranges::find(echo, a) != echo.end(); });
      out.push_back(question_.segment + " ping");
    }
    for (const Access& access : accesses)
      out.push_back(fmt::format("{} {}", question_.segment, to_string(access)));
    return out;
  }

  const World& world_;
  const LearnQuestion& question_;
  const PlanSide side_;
  const LearnSelect select_;
  const Segment& segment_;
  const std::uint32_t position_;
  RecordedAskers askers_;
  std::map<const Asker*, Positions> rules_;
  std::map<AtomKey, Atom> atoms_;
  std::set<std::string> names_;
  LearnedSegments segments_;
  Lesson lesson_;
};

}  // namespace

Result<Lesson> learn(const World& world, const LearnQuestion& question, Timestamp now) {
  if (world.policy->segments.contains(question.segment)) return Learner(world, question, now).learn();
  std::vector<std::string_view> names;
  for (const auto& [name, segment] : world.policy->segments) names.push_back(name);
  const std::string near = nearest(question.segment, names);
  return fail(ErrorCode::not_found, fmt::format("the policy has no segment {}", in_quotes(question.segment)),
              near.empty() ? "`cordon policy show` shows them" : fmt::format("did you mean \"{}\"?", near));
}

}  // namespace cordon::policy
