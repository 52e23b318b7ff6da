#include "policy/plan.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "policy/coverage.h"
#include "policy/plan_groups.h"
#include "policy/plan_loosens.h"
#include "policy/plan_warnings.h"

namespace cordon::policy {
namespace {

/// A change between one group of principals and targets, before its targets are named.
struct PlanDraft {
  bool gained = false;
  std::string segment, service, forbid;
  std::vector<Access> accesses;
  std::string rule;
  std::vector<std::uint32_t> targets;  ///< groups
  auto operator<=>(const PlanDraft&) const = default;
};

/// Stretches that touch are one.
void add_access(std::vector<Access>& accesses, const Access& access) {
  if (!accesses.empty() && accesses.back().protocol == access.protocol && access.protocol &&
      accesses.back().ports.last + 1 == access.ports.first)
    accesses.back().ports.last = access.ports.last;
  else
    accesses.push_back(access);
}

/// What changes towards one target group, by service.
std::vector<PlanDraft> changes_of(const std::vector<ReachMap::Difference>& differences) {
  std::map<std::tuple<bool, std::string, std::string, std::string>, PlanDraft> by_service;
  for (const auto& difference : differences) {
    const bool gained = is_allow(difference.after);
    const Offering& by = gained ? *difference.after : *difference.before;
    const std::string forbid =
        !gained && difference.after != nullptr ? difference.after->rule->name : std::string();
    PlanDraft& draft = by_service[{gained, by.segment, by.service, forbid}];
    if (draft.accesses.empty() || by.rule->name < draft.rule) draft.rule = by.rule->name;
    draft.gained = gained;
    draft.segment = by.segment;
    draft.service = by.service;
    draft.forbid = forbid;
    add_access(draft.accesses, difference.access);
  }
  std::vector<PlanDraft> out;
  out.reserve(by_service.size());
  for (auto& [key, draft] : by_service) out.push_back(std::move(draft));
  return out;
}

class Planner {
 public:
  Planner(const World& world, const Policy& next, const PlanQuestion& question, Timestamp now)
      : world_(world),
        question_(question),
        now_(now),
        before_(*world.policy, now),
        after_(next, now),
        groups_(world, before_, after_, now) {}

  Plan make() {
    find_changes();
    find_cut_flows();
    Plan plan;
    for (auto& [drafts, members] : entries_) add_entry(plan, drafts, members);
    count_people(plan);
    plan.totals.flows_cut = cut_total_;
    const Loosened more = loosened(groups_, before_, after_);
    plan.totals.devices_observing = more.observing;
    plan.totals.underlays_opened = more.underlays;
    std::ranges::stable_sort(plan.entries, [](const PlanEntry& a, const PlanEntry& b) {
      return a.changes.front().gained < b.changes.front().gained;
    });
    plan.warnings = plan_warnings({.world = world_,
                                   .before = before_,
                                   .after = after_,
                                   .groups = groups_,
                                   .question = question_,
                                   .now = now_},
                                  plan);
    return plan;
  }

 private:
  using Drafts = std::vector<PlanDraft>;

  void find_changes() {
    for (const auto& from : groups_.principal_groups()) {
      std::map<PlanDraft, std::vector<std::uint32_t>>
          targets;  // drafts without targets, to their target groups
      for (const std::uint32_t to : groups_.targets_to_compare(from)) {
        const auto& target = groups_.target_groups()[to];
        const auto differences =
            ReachMap::compare(groups_.reach_before(from, target), groups_.reach_after(from, target));
        for (PlanDraft& draft : changes_of(differences)) targets[std::move(draft)].push_back(to);
      }
      if (targets.empty()) continue;
      Drafts drafts;
      for (auto& [draft, to] : targets) {
        drafts.push_back(draft);
        drafts.back().targets = std::move(to);
      }
      auto& members = entries_[std::move(drafts)];
      members.insert(members.end(), from.members.begin(), from.members.end());
    }
  }

  const std::uint32_t* find(const PrincipalRef& who) const {
    return std::visit([&](const auto& id) { return groups_.find(id); }, who);
  }

  void find_cut_flows() {
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::pair<ReachMap, ReachMap>> reaches;
    for (const LiveFlow& flow : question_.live) {
      const std::uint32_t* who = find(flow.principal);
      const std::uint32_t* to = groups_.group_of_target(flow.target);
      if (who == nullptr || to == nullptr) continue;
      const std::uint32_t from = groups_.principals()[*who].group;
      const auto& target = groups_.target_groups()[*to];
      const auto [it, fresh] = reaches.try_emplace({from, *to});
      if (fresh)
        it->second = {groups_.reach_before(groups_.principal_groups()[from], target),
                      groups_.reach_after(groups_.principal_groups()[from], target)};
      const auto& [was, is] = it->second;
      const bool passed = target.observed_before || was.allows(flow.protocol, flow.port);
      const bool passes = target.observed_after || is.allows(flow.protocol, flow.port);
      if (!passed || passes) continue;
      ++cut_total_;
      cuts_[*who].push_back({&flow, *to});
    }
  }

  PlanPrincipal name_of(std::uint32_t number) const {
    const Asker& asker = groups_.principals()[number].asker;
    PlanPrincipal out{.person = "", .device = asker.device->id, .session = {}};
    if (asker.session == nullptr) return out;
    out.person = asker.user->name.empty() ? asker.user->id.value : asker.user->name;
    out.session = asker.session->id;
    return out;
  }

  std::size_t members_of(const std::string& segment, bool after) const {
    const PlanSide& side = after ? after_ : before_;
    const std::uint32_t position = side.selectors().position_of(segment);
    std::size_t count = 0;
    for (const auto& target : groups_.target_groups())
      if (std::ranges::binary_search(after ? target.after : target.before, position))
        count += target.members.size();
    return count;
  }

  AccessChange named(const PlanDraft& draft) {
    AccessChange change{.gained = draft.gained,
                        .segment = draft.segment,
                        .service = draft.service,
                        .accesses = draft.accesses,
                        .rule = draft.rule,
                        .forbid = draft.forbid};
    for (const std::uint32_t to : draft.targets)
      for (const Device* device : groups_.target_groups()[to].members) {
        ++change.target_count;
        if (listed_++ < question_.most_listed) change.targets.push_back(device->id);
      }
    std::ranges::sort(change.targets);
    change.whole_segment = change.target_count == members_of(draft.segment, draft.gained);
    return change;
  }

  void add_entry(Plan& plan, const Drafts& drafts, std::vector<std::uint32_t>& members) {
    for (const PlanDraft& draft : drafts)
      (draft.gained ? plan.totals.gains : plan.totals.losses) += members.size();
    note_people(drafts, members);
    if (plan.entries.size() >= question_.most_listed) {
      ++plan.totals.entries_left_out;
      return;
    }
    PlanEntry entry{.principals = {}, .principal_count = members.size(), .changes = {}};
    for (const PlanDraft& draft : drafts) entry.changes.push_back(named(draft));
    std::vector<std::tuple<bool, PlanPrincipal, std::uint32_t>> order;  // those with cut flows first
    order.reserve(members.size());
    for (const std::uint32_t member : members)
      order.emplace_back(!cuts_.contains(member), name_of(member), member);
    std::ranges::sort(order);
    for (auto& [uncut, name, member] : order) {
      if (listed_++ >= question_.most_listed && !entry.principals.empty()) break;
      if (!uncut) add_cuts(entry, drafts, member);
      entry.principals.push_back(std::move(name));
    }
    plan.entries.push_back(std::move(entry));
  }

  /// The cut flows of the principal that is listed next.
  void add_cuts(PlanEntry& entry, const Drafts& drafts, std::uint32_t member) const {
    for (const Cut& cut : cuts_.at(member))
      for (std::size_t i = 0; i < drafts.size(); ++i) {
        const PlanDraft& draft = drafts[i];
        if (draft.gained || !std::ranges::binary_search(draft.targets, cut.target)) continue;
        const bool any_other = !std::ranges::any_of(
            draft.accesses, [&](const Access& access) { return access.protocol == cut.flow->protocol; });
        const bool covered = std::ranges::any_of(draft.accesses, [&](const Access& access) {
          return access.protocol ? covers(access, cut.flow->protocol, cut.flow->port) : any_other;
        });
        if (!covered) continue;
        ++entry.changes[i].cut_flows[entry.principals.size()];
        break;
      }
  }

  void note_people(const Drafts& drafts, const std::vector<std::uint32_t>& members) {
    const bool gains = std::ranges::any_of(drafts, &PlanDraft::gained);
    const bool loses = !std::ranges::all_of(drafts, &PlanDraft::gained);
    for (const std::uint32_t member : members) {
      const Asker& asker = groups_.principals()[member].asker;
      if (gains)
        (asker.user ? people_gaining_ : machines_gaining_)
            .insert(asker.user ? asker.user->id.value : asker.device->id.value);
      if (loses)
        (asker.user ? people_losing_ : machines_losing_)
            .insert(asker.user ? asker.user->id.value : asker.device->id.value);
    }
  }

  void count_people(Plan& plan) const {
    plan.totals.people_gaining = people_gaining_.size();
    plan.totals.people_losing = people_losing_.size();
    plan.totals.machines_gaining = machines_gaining_.size();
    plan.totals.machines_losing = machines_losing_.size();
  }

  struct Cut {
    const LiveFlow* flow;
    std::uint32_t target;
  };

  const World& world_;
  const PlanQuestion& question_;
  const Timestamp now_;
  const PlanSide before_, after_;
  const PlanGroups groups_;
  std::map<Drafts, std::vector<std::uint32_t>> entries_;  ///< what happens, to whom
  std::map<std::uint32_t, std::vector<Cut>> cuts_;        ///< by principal
  std::size_t cut_total_ = 0, listed_ = 0;
  std::set<std::string> people_gaining_, people_losing_, machines_gaining_, machines_losing_;
};

}  // namespace

std::string_view to_string(PlanWarning::Kind kind) {
  switch (kind) {
    case PlanWarning::Kind::locks_out_author:
      return "locks-out-author";
    case PlanWarning::Kind::opens_to_everyone:
      return "opens-to-everyone";
    case PlanWarning::Kind::opens_every_port:
      return "opens-every-port";
    case PlanWarning::Kind::nobody_reaches:
      return "nobody-reaches";
    case PlanWarning::Kind::no_rules:
      return "no-rules";
    case PlanWarning::Kind::starts_enforcing:
      return "starts-enforcing";
    case PlanWarning::Kind::starts_observing:
      return "starts-observing";
    case PlanWarning::Kind::opens_underlay:
      return "opens-underlay";
    case PlanWarning::Kind::ends_earlier:
      return "ends-earlier";
    case PlanWarning::Kind::not_signed_in:
      return "not-signed-in";
    case PlanWarning::Kind::flows_not_seen:
      return "flows-not-seen";
    case PlanWarning::Kind::not_forwarded:
      return "not-forwarded";
    case PlanWarning::Kind::too_old_for_gateways:
      return "too-old-for-gateways";
    case PlanWarning::Kind::drops_while_turning:
      return "drops-while-turning";
  }
  return "";
}

Plan plan(const World& world, const Policy& next, const PlanQuestion& question, Timestamp now) {
  return Planner(world, next, question, now).make();
}

}  // namespace cordon::policy
