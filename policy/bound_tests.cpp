#include "policy/bound_tests.h"

#include <fmt/format.h>

#include <algorithm>

#include "policy/coverage.h"

namespace cordon::policy {
namespace {

/// The oracle looks at every rule for every question: a quarter of a microsecond each, and a nanosecond for
/// each access that the rule names. 16 million looks take some 4 s.
constexpr std::uint64_t kMostLooks = 16'000'000;
constexpr std::uint64_t kAccessesOfALook = 256;
constexpr std::uint64_t kQuestionsOfAny = 3;  ///< flows that stand for `any` (run_tests.cpp)

std::uint64_t looks_at_all_rules(const Policy& policy) {
  std::uint64_t accesses = 0;
  for (const Rule& rule : policy.rules)
    for (const Destination& to : rule.to) accesses += accesses_of(policy, to).size();
  return policy.rules.size() + accesses / kAccessesOfALook;
}

std::uint64_t questions(const Policy& policy, const PolicyTest& test) {
  const auto& accesses =
      test.service ? policy.segments.at(test.segment).services.at(*test.service) : test.accesses;
  std::uint64_t all = 0;
  for (const Access& access : accesses) all += access.protocol ? 1 : kQuestionsOfAny;
  return all;
}

}  // namespace

void bound_tests(ParseResult& parsed) {
  if (!parsed.ok() || parsed.policy->tests.empty()) return;
  const Policy& policy = *parsed.policy;
  std::uint64_t asked = 0;
  for (const PolicyTest& test : policy.tests) asked += questions(policy, test);
  const std::uint64_t each = looks_at_all_rules(policy);
  if (asked * each <= kMostLooks) return;
  const auto first = std::ranges::min_element(policy.tests, {}, &PolicyTest::place);
  parsed.diagnostics.push_back(
      {.place = first->place,
       .message = fmt::format("the {} tests ask {} questions of {} rules: too much to run at each apply",
                              policy.tests.size(), asked, policy.rules.size()),
       .hints = {"keep the tests that tell rules apart, and ask for one port of a wide service"}});
  parsed.policy = nullptr;
}

}  // namespace cordon::policy
