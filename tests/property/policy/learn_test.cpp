// Laws of learn(): what it proposes parses beside the policy and allows all that it doesn't leave out.

#include "policy/learn.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "tests/property/policy/draw.h"

namespace cordon::test {
namespace learn_test {

using policy::ObservedFlow;
using policy::Verdict;

/// `text` without its nth rule.
std::string without_rule(const std::string& text, std::size_t n) {
  constexpr std::string_view kBegin = "[[allow]]";
  std::size_t at = text.find(kBegin);
  while (n-- > 0) at = text.find(kBegin, at + 1);
  return text.substr(0, at) + text.substr(std::min(text.find(kBegin, at + 1), text.size()));
}

RC_GTEST_PROP(Learn, every_flow_that_is_not_left_out_is_allowed_with_the_proposal, ()) {
  WorldGen gen(drawn());
  std::string text;
  for (const std::string& stanza : gen.definitions()) text += stanza;
  for (const std::string& stanza : gen.rules()) text += stanza;
  WorldBuilder builder = gen.inhabitants();
  builder.policy(text);
  const policy::World world = builder.world();

  std::vector<std::pair<policy::Query, ObservedFlow>> asked;
  policy::LearnQuestion question{.segment = "s0", .flows = {}};
  const auto principals = all_principals(world);
  for (std::uint32_t i = gen.number(30); i > 0; --i) {
    const auto& principal = principals[gen.number(static_cast<std::uint32_t>(principals.size()))];
    const DeviceId target{fmt::format("d{}", gen.number(5))};
    const policy::Query query{
        .principal = principal, .target = target, .protocol = gen.protocol(), .port = gen.port()};
    ObservedFlow flow{.person = {},
                      .source = device_of(world, principal),
                      .target = target,
                      .protocol = query.protocol,
                      .port = query.port,
                      .count = 1 + gen.number(3),
                      .first = kNow,
                      .last = kNow};
    if (const auto* id = std::get_if<SessionId>(&principal)) {
      const auto session = world.sessions.find(*id);
      if (session == world.sessions.end() || session->second.ends_at <= kNow) continue;
      flow.person = session->second.user;
      // Of several sessions of a person on one device a record doesn't say which it was.
      if (std::ranges::count_if(world.sessions, [&](const auto& other) {
            return other.second.user == flow.person && other.second.device == flow.source;
          }) > 1)
        continue;
    }
    question.flows.push_back(flow);
    asked.emplace_back(query, flow);
  }
  const auto lesson = policy::learn(world, question, kNow);
  RC_ASSERT(lesson.has_value());
  builder.policy({{"policy.toml", text}, {"learned.toml", lesson->text}});

  std::uint64_t covered = 0, left_out = 0;
  for (const auto& [query, flow] : asked) {
    const bool left = std::ranges::any_of(lesson->left_out, [&](const auto& l) { return l.flow == flow; });
    const auto target = world.devices.find(query.target);
    if (target == world.devices.end() || !policy::segments_of(world, target->second).contains("s0")) {
      RC_ASSERT(!left);
      continue;
    }
    (left ? left_out : covered) += flow.count;
    if (!left) RC_ASSERT(policy::evaluate(builder.world(), query, kNow).verdict == Verdict::allow);
  }
  RC_ASSERT(lesson->flows_covered + lesson->flows_allowed == covered);
  RC_ASSERT(lesson->flows_left_out == left_out);

  // The fewest: without any one of the rules some flow that it covers is denied.
  for (std::size_t i = 0; i < lesson->rules.size(); ++i) {
    builder.policy({{"policy.toml", text}, {"learned.toml", without_rule(lesson->text, i)}});
    const bool missed = std::ranges::any_of(asked, [&](const auto& one) {
      const auto& [query, flow] = one;
      const bool left = std::ranges::any_of(lesson->left_out, [&](const auto& l) { return l.flow == flow; });
      const auto target = world.devices.find(query.target);
      const bool there =
          target != world.devices.end() && policy::segments_of(world, target->second).contains("s0");
      return there && !left && policy::evaluate(builder.world(), query, kNow).verdict != Verdict::allow;
    });
    RC_ASSERT(missed);
  }
}

}  // namespace learn_test
}  // namespace cordon::test
