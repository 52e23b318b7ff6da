// Laws of plan(): it says what evaluate() says before and after, and no more.

#include "policy/plan.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "policy/coverage.h"
#include "tests/property/policy/draw.h"

namespace cordon::test {
namespace plan_test {

using policy::Access;
using policy::AccessChange;
using policy::Plan;
using policy::PlanEntry;
using policy::Query;
using policy::Verdict;

std::string joined(const std::vector<std::string>& stanzas) {
  std::string text;
  for (const std::string& stanza : stanzas) text += stanza;
  return text;
}

bool is(const policy::PlanPrincipal& who, const policy::PrincipalRef& principal) {
  if (const auto* id = std::get_if<SessionId>(&principal)) return who.session == *id;
  return who.person.empty() && who.device == std::get<DeviceId>(principal);
}

/// "Every other protocol" is what neither policy names for this change: what other changes say goes first.
bool tells(const Plan& plan, const Query& query, bool gained) {
  const auto covers = [&](const AccessChange& change) {
    return std::ranges::any_of(change.accesses, [&](const Access& access) {
      return access.protocol && policy::covers(access, query.protocol, query.port);
    });
  };
  const auto others = [&](const AccessChange& change) {
    return std::ranges::any_of(change.accesses, [](const Access& access) { return !access.protocol; });
  };
  for (const PlanEntry& entry : plan.entries) {
    if (!std::ranges::any_of(entry.principals, [&](const auto& who) { return is(who, query.principal); }))
      continue;
    for (const AccessChange& change : entry.changes)
      if (change.gained == gained &&
          std::ranges::find(change.targets, query.target) != change.targets.end() &&
          (covers(change) || (query.protocol == 47 && others(change))))
        return true;
  }
  return false;
}

RC_GTEST_PROP(Plan, tells_a_loss_or_a_gain_exactly_where_the_oracle_does, ()) {
  WorldGen gen(drawn());
  WorldBuilder before = gen.inhabitants();
  const auto definitions = gen.definitions();
  auto rules = gen.rules();
  before.policy(joined(definitions) + joined(rules));
  if (!rules.empty() && gen.number(2) == 0)
    rules.erase(rules.begin() + gen.number(static_cast<std::uint32_t>(rules.size())));
  rules.push_back(gen.rule("more", gen.number(2) == 0 ? "allow" : "forbid"));
  const auto next = gen.number(3) == 0 ? gen.definitions() : definitions;
  WorldBuilder after = before;
  after.policy(joined(next) + joined(rules));

  // Protocol 47 stands for all that no policy names.
  std::vector<Query> queries;
  policy::PlanQuestion question;
  for (const auto& principal : all_principals(before.world()))
    for (const auto& [target, device] : before.world().devices)
      for (int i = 0; i < 6; ++i) {
        queries.push_back(
            {.principal = principal, .target = target, .protocol = gen.protocol(), .port = gen.port()});
        const Query& query = queries.back();
        question.live.push_back({query.principal, query.target, query.protocol, query.port});
      }
  const Plan plan = policy::plan(before.world(), *after.world().policy, question, kNow);
  std::size_t cut = 0;
  for (const Query& query : queries) {
    const auto was = policy::evaluate(before.world(), query, kNow);
    const auto is = policy::evaluate(after.world(), query, kNow);
    const bool allowed = was.verdict == Verdict::allow, allows = is.verdict == Verdict::allow;
    const bool named = query.protocol != 47;
    // A protocol that only "every other protocol" covers is told by that.
    const bool lost =
        tells(plan, query, false) ||
        (named && tells(plan, {query.principal, query.target, 47, 0}, false) && allowed && !allows);
    const bool gained =
        tells(plan, query, true) ||
        (named && tells(plan, {query.principal, query.target, 47, 0}, true) && !allowed && allows);
    RC_ASSERT(lost == (allowed && !allows));
    RC_ASSERT(gained == (!allowed && allows));
    // A principal that is unknown, over or isolated has no flows that a policy could cut.
    if (was.reason.empty() && (allowed || was.observed) && !allows && !is.observed) ++cut;
  }
  RC_ASSERT(plan.totals.flows_cut == cut);
}

RC_GTEST_PROP(Plan, of_the_same_policy_is_empty, ()) {
  WorldGen gen(drawn());
  WorldBuilder world = gen.world();
  const Plan plan = policy::plan(world.world(), *world.world().policy, {}, kNow);
  RC_ASSERT(plan.changes_nothing());
  RC_ASSERT(plan.entries.empty());
}

}  // namespace plan_test
}  // namespace cordon::test
