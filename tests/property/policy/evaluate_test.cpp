// Laws of evaluate(): what more rules, fewer rules, another order, missing facts, time and isolation do.

#include "policy/evaluate.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "policy/compile.h"
#include "tests/property/policy/draw.h"

namespace cordon::test {
namespace evaluate_test {

using policy::Verdict;
using policy::World;

/// With everything that a policy may say.
constexpr WorldShape kShape{.conditions = true};

std::string joined(const std::vector<std::string>& stanzas) {
  std::string text;
  for (const std::string& stanza : stanzas) text += stanza;
  return text;
}

/// Asks both worlds everything at some ports.
template <class Check>
void compare(WorldGen& gen, const World& a, const World& b, Check check) {
  for (int i = 0; i < 6; ++i) {
    const std::uint8_t protocol = gen.protocol();
    const std::uint16_t port = gen.port();
    for (const auto& principal : all_principals(a))
      for (const auto& [target, device] : a.devices) {
        const policy::Query query{
            .principal = principal, .target = target, .protocol = protocol, .port = port};
        check(policy::evaluate(a, query, kNow), policy::evaluate(b, query, kNow), query);
      }
  }
}

// P1.
RC_GTEST_PROP(Evaluate, the_order_of_files_and_rules_never_matters, ()) {
  WorldGen gen(drawn(), kShape);
  auto stanzas = gen.definitions();
  for (std::string& rule : gen.rules()) stanzas.push_back(std::move(rule));
  WorldBuilder builder = gen.inhabitants();
  builder.policy(joined(stanzas));
  const World before = builder.world();
  const auto ids = before.rule_ids;
  const auto states = policy::compile(builder.world(), kNow);

  for (std::size_t i = stanzas.size(); i > 1; --i)
    std::swap(stanzas[i - 1], stanzas[gen.number(static_cast<std::uint32_t>(i))]);
  std::vector<SourceFile> files(1 + gen.number(3));
  for (std::size_t i = 0; i < files.size(); ++i) files[i].name = fmt::format("{}.toml", files.size() - i);
  for (const std::string& stanza : stanzas)
    files[gen.number(static_cast<std::uint32_t>(files.size()))].text += stanza;
  builder.policy(files);
  RC_ASSERT(builder.world().rule_ids == ids);
  RC_ASSERT(policy::compile(builder.world(), kNow) == states);
  compare(gen, before, builder.world(), [](const auto& was, const auto& is, const auto&) {
    RC_ASSERT(is.verdict == was.verdict);
    RC_ASSERT(is.rule == was.rule);
    RC_ASSERT(is.deadline == was.deadline);
  });
}

// P1.
RC_GTEST_PROP(Evaluate, adding_a_forbid_never_grants, ()) {
  WorldGen gen(drawn(), kShape);
  const auto definitions = gen.definitions();
  const auto rules = gen.rules();
  WorldBuilder without = gen.inhabitants();
  without.policy(joined(definitions) + joined(rules));
  WorldBuilder with = without;
  with.policy(joined(definitions) + joined(rules) + gen.rule("more", "forbid"));
  compare(gen, without.world(), with.world(), [](const auto& before, const auto& after, const auto&) {
    if (after.verdict != Verdict::allow) return;
    RC_ASSERT(before.verdict == Verdict::allow);
    RC_ASSERT(after.deadline <= before.deadline);
  });
}

// P1.
RC_GTEST_PROP(Evaluate, adding_an_allow_never_removes, ()) {
  WorldGen gen(drawn(), kShape);
  const auto definitions = gen.definitions();
  const auto rules = gen.rules();
  WorldBuilder without = gen.inhabitants();
  without.policy(joined(definitions) + joined(rules));
  WorldBuilder with = without;
  with.policy(joined(definitions) + joined(rules) + gen.rule("more", "allow"));
  compare(gen, without.world(), with.world(), [](const auto& before, const auto& after, const auto&) {
    if (before.verdict != Verdict::allow) return;
    RC_ASSERT(after.verdict == Verdict::allow);
    RC_ASSERT(after.deadline >= before.deadline);
  });
}

bool is_behind(const World& world, const DeviceId& target, const DeviceId& gateway) {
  const auto found = world.devices.find(target);
  return found != world.devices.end() && found->second.gateway == gateway;
}

// P10.
RC_GTEST_PROP(Evaluate, isolation_leaves_nothing_but_responders, ()) {
  WorldGen gen(drawn(), kShape);
  WorldBuilder before = gen.world();
  WorldBuilder after = before;
  const DeviceId isolated{fmt::format("d{}", gen.number(5))};
  after.world().devices.at(isolated).isolated = true;
  settle(after.world());
  compare(gen, before.world(), after.world(),
          [&](const auto& was, const auto& is, const policy::Query& query) {
            if (device_of(before.world(), query.principal) == isolated)
              RC_ASSERT(is.verdict == Verdict::deny);
            else if (query.target == isolated || is_behind(after.world(), query.target, isolated))
              RC_ASSERT(is.verdict != Verdict::allow || is.responder);
            else
              RC_ASSERT(is.verdict == was.verdict && is.rule == was.rule);
          });
}

/// Takes one fact away from somebody. Tags, claims and signals that aren't there are none, not missing; a
/// session without an end has none.
void forget_something(WorldGen& gen, World& world) {
  const auto pick_from = [&](const auto& map) {
    return std::next(map.begin(), gen.number(static_cast<std::uint32_t>(map.size())))->first;
  };
  policy::Device& device = world.devices.at(pick_from(world.devices));
  const SessionId id = pick_from(world.sessions);
  switch (gen.number(8)) {
    case 0:
      return device.ownership.reset();
    case 1:
      return device.checks.reset();
    case 2:
      return device.attestation.reset();
    case 3:
      return device.source.reset();
    case 4:
      return device.country.reset();
    case 5:
      return world.sessions.change(id, [](policy::Session& session) { session.assurance.reset(); });
    case 6:
      return world.sessions.change(id, [](policy::Session& session) { session.authenticated_at.reset(); });
    default:
      return world.users.at(world.sessions.at(id).user).name.clear();
  }
}

// P3.
RC_GTEST_PROP(Evaluate, a_missing_fact_never_grants, ()) {
  WorldGen gen(drawn(), kShape);
  const World before = gen.world().world();
  World after = before;
  for (std::uint32_t i = gen.number(4); i < 4; ++i) forget_something(gen, after);
  compare(gen, before, after, [](const auto& was, const auto& is, const auto&) {
    if (is.verdict != Verdict::allow) return;
    RC_ASSERT(was.verdict == Verdict::allow);
    RC_ASSERT(is.deadline <= was.deadline);
  });
}

// P7.
RC_GTEST_PROP(Evaluate, a_deadline_is_never_later_than_any_conditions_end, ()) {
  WorldGen gen(drawn(), kShape);
  const World world = gen.world().world();
  compare(gen, world, world, [&](const auto& decision, const auto&, const policy::Query& query) {
    if (decision.verdict != Verdict::allow) return;
    RC_ASSERT(decision.deadline > kNow);
    RC_ASSERT(decision.deadline <= kNow + decision.lease);
    if (const auto* id = std::get_if<SessionId>(&query.principal))
      RC_ASSERT(decision.deadline <= world.sessions.at(*id).ends_at);
    const auto held_at = [&](Timestamp at) {
      const policy::Decision then = policy::evaluate(world, query, at);
      return then.verdict == Verdict::allow &&
             std::ranges::any_of(then.because, [&](const auto& b) { return b.rule == decision.rule; });
    };
    RC_ASSERT(held_at(decision.deadline - std::chrono::microseconds(1)));
    const auto seconds = std::chrono::floor<Seconds>(decision.deadline - kNow).count();
    const Timestamp between = kNow + Seconds(gen.number(static_cast<std::uint32_t>(seconds + 1)));
    RC_ASSERT(between >= decision.deadline || held_at(between));
    // Where it isn't the lease that ends it, something did.
    if (decision.deadline < kNow + decision.lease) RC_ASSERT(!held_at(decision.deadline));
  });
}

}  // namespace evaluate_test
}  // namespace cordon::test
