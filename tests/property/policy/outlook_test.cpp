// outlook() against the plain way: asking again, second by second.

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "policy/conditions.h"
#include "policy/trust.h"
#include "tests/property/policy/draw.h"

namespace cordon::test {
namespace outlook_test {

using policy::Asker;
using policy::Outlook;
using policy::Rule;
using std::chrono::microseconds;

/// A rule with conditions about somebody.
struct Case {
  policy::PolicyPtr policy;
  policy::Device device;
  policy::Session session;
  policy::User user{.id = SubjectId{"u"}, .issuer = "local", .name = "u"};

  const Rule& rule() const { return policy->rules.at(0); }
  Asker asker() const { return {&device, &session, &user}; }
  bool holds(Timestamp at) const { return policy::holds(*policy, rule(), asker(), at); }
  Outlook outlook(Timestamp at) const { return policy::outlook(*policy, rule(), asker(), at); }
};

Case draw_case() {
  using Kind = ConditionGen::Kind;
  const Pick pick = drawn();
  ConditionGen gen(pick);
  const bool allow = pick(2) == 0;
  std::string rule = fmt::format("[[{}]]\nname = \"r\"\nto = [\"s tcp/1\"]\n", allow ? "allow" : "forbid");
  rule += pick(3) == 2 ? "from = { users = [\"u\"], devices = [\"c0\", \"c1\"] }\n"
                       : "from = { users = [\"u\"] }\n";
  if (allow || pick(2) == 1)
    rule += fmt::format("when = {}\n", gen.conditions(allow ? Kind::person : Kind::forbid));
  if (!allow) rule += fmt::format("unless = {}\n", gen.conditions(Kind::person));
  Case out;
  const std::string text =
      gen.device_classes() + gen.trust() + "[segments.s]\nmembers = [\"tag:s\"]\n" + rule;
  RC_LOG() << text;
  out.policy = policy_of({{"p.toml", text}});
  gen.fill(out.device);
  gen.fill(out.session);
  if (pick(2) == 1) out.device.tags = {"t0", "t1"};
  return out;
}

// P7. All the generator's edges lie at whole and at next-to-whole seconds (logins a microsecond before one).
RC_GTEST_PROP(Outlook, is_what_a_scan_second_by_second_finds, ()) {
  const Case c = draw_case();
  const Outlook outlook = c.outlook(kNow);
  RC_ASSERT(outlook.holds == c.holds(kNow));
  RC_ASSERT(outlook.until > kNow);
  Timestamp found = kNever;
  for (int s = 0; s < 5000 && found == kNever; ++s)
    for (const Timestamp at : {kNow + Seconds(s + 1) - microseconds(1), kNow + Seconds(s + 1)})
      if (found == kNever && c.holds(at) != outlook.holds) found = at;
  if (found != kNever)
    RC_ASSERT(outlook.until == found);
  else
    RC_ASSERT(outlook.until > kNow + Seconds(5000));
}

// P7. Later than the scan can look: whatever is told is an edge, and from edge to edge it alternates.
RC_GTEST_PROP(Outlook, alternates_from_edge_to_edge, ()) {
  const Case c = draw_case();
  Timestamp at = kNow;
  for (int edge = 0; edge < 6; ++edge) {
    const Outlook outlook = c.outlook(at);
    RC_ASSERT(outlook.holds == c.holds(at));
    if (outlook.until == kNever) break;
    RC_ASSERT(outlook.until > at);
    RC_ASSERT(c.holds(outlook.until - microseconds(1)) == outlook.holds);
    RC_ASSERT(c.holds(outlook.until) != outlook.holds);
    at = outlook.until;
  }
}

// P7. Never late: at no moment before the edge that is told is it otherwise, be that years ahead.
RC_GTEST_PROP(Outlook, holds_until_then_however_far_that_is, ()) {
  const Case c = draw_case();
  const Outlook outlook = c.outlook(kNow);
  const Pick pick = drawn();
  const Timestamp last = std::min(outlook.until, kNow + std::chrono::years(60));
  const auto minutes = std::chrono::floor<std::chrono::minutes>(last - kNow).count();
  for (int i = 0; i < 200 && minutes > 0; ++i) {
    const auto minute = (pick(1u << 16) * 65536LL + pick(1u << 16)) % minutes;
    RC_ASSERT(c.holds(kNow + std::chrono::minutes(minute)) == outlook.holds);
  }
}

// P3: whatever is taken away, an allow doesn't begin to hold and a forbid doesn't cease to.
RC_GTEST_PROP(Outlook, a_missing_fact_never_helps, ()) {
  const Case before = draw_case();
  Case after = before;
  switch (drawn()(7)) {
    case 0:
      after.device.ownership.reset();
      break;
    case 1:
      after.device.checks.reset();
      break;
    case 2:
      after.device.attestation.reset();
      break;
    case 3:
      after.device.source.reset();
      break;
    case 4:
      after.device.country.reset();
      break;
    case 5:
      after.session.assurance.reset();
      break;
    default:
      after.session.authenticated_at.reset();
  }
  if (before.rule().effect == policy::Effect::allow)
    RC_ASSERT(!after.holds(kNow) || before.holds(kNow));
  else
    RC_ASSERT(after.holds(kNow) || !before.holds(kNow));
}

// An allow holds just when nothing is told to fail.
RC_GTEST_PROP(Failed, is_empty_when_the_allow_holds, ()) {
  const Case c = draw_case();
  RC_PRE(c.rule().effect == policy::Effect::allow);
  RC_ASSERT(policy::failed(*c.policy, c.rule(), c.asker(), kNow).empty() == c.holds(kNow));
}

}  // namespace outlook_test
}  // namespace cordon::test
