#include "policy/run_tests.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "policy/wording.h"

namespace cordon::policy {
namespace {

/// One of the protocols that IANA keeps for experiments: only `any` takes it in.
constexpr std::uint8_t kOtherProtocol = 253;
constexpr std::size_t kMostReasons = 5;

/// Becomes a member if it isn't one: by the member that puts it into the fewest segments, of equals the first
/// one written.
void join(World& world, Device& target, const PolicyTest& test) {
  if (segments_of(world, target).contains(test.segment)) return;
  std::optional<Device> best;
  for (const Member& member : world.policy->segments.at(test.segment).members) {
    Device joined = target;
    if (member.kind == Member::Kind::tag)
      joined.tags.insert(member.name);
    else if (member.name != test.device.id.value)
      joined.id = DeviceId{member.name};
    else
      continue;  // the device that asks
    if (!best || segments_of(world, joined).size() < segments_of(world, *best).size()) best = joined;
  }
  if (best) target = std::move(*best);
}

/// The flows that stand for an access: its first port, and for `any` protocols of several kinds.
std::vector<Access> probes(const Access& access) {
  const auto one = [](std::uint8_t protocol, std::uint16_t port) {
    return Access{.protocol = protocol, .ports = {port, port}};
  };
  if (!access.protocol) return {one(kTcp, 1), one(kUdp, 1), one(kOtherProtocol, 0)};
  const bool types = *access.protocol == kIcmp || *access.protocol == kIcmpv6;
  // Port 0 is nobody's.
  return {one(*access.protocol, types ? access.ports.first : std::max<std::uint16_t>(1, access.ports.first))};
}

std::vector<Access> asked(const Policy& policy, const PolicyTest& test) {
  return test.service ? policy.segments.at(test.segment).services.at(*test.service) : test.accesses;
}

std::string verdict_by(Verdict verdict, const std::string& rule) {
  return rule.empty() ? std::string(to_string(verdict))
                      : fmt::format("{} by {}", to_string(verdict), in_quotes(rule));
}

/// `"a" needs assurance aal3, found aal2`
std::string in_words(const Because& because) {
  if (because.holds) return fmt::format("{} holds", in_quotes(because.rule));
  std::vector<std::string> parts;
  for (const auto& [condition, needed, found] : because.failed)
    parts.push_back(fmt::format("{} {}, found {}", condition, needed, found));
  return fmt::format("{} needs {}", in_quotes(because.rule), fmt::join(parts, ", "));
}

std::string why(const PolicyTest& test, const Access& access, const Decision& decision) {
  std::string text =
      fmt::format("expected {}, found {} for {}", verdict_by(test.expect, test.rule.value_or("")),
                  verdict_by(decision.verdict, decision.rule), to_string(access));
  std::vector<std::string> reasons;
  if (!decision.reason.empty()) reasons.push_back(decision.reason);
  for (const Because& because : decision.because)
    if (because.rule != decision.rule) reasons.push_back(in_words(because));
  if (decision.because.empty() && reasons.empty()) reasons.emplace_back("no rule speaks of it");
  if (reasons.size() > kMostReasons) {
    const std::size_t more = reasons.size() - kMostReasons;
    reasons.resize(kMostReasons);
    reasons.push_back(fmt::format("and {} more", more));
  }
  if (!reasons.empty()) text += fmt::format(": {}", fmt::join(reasons, "; "));
  return text;
}

TestResult run(const PolicyPtr& policy, const PolicyTest& test) {
  TestResult result{.name = test.name,
                    .place = test.place,
                    .passed = true,
                    .expected = test.expect,
                    .expected_rule = test.rule,
                    .found = Verdict::deny,
                    .rule = {},
                    .access = {},
                    .why = {}};
  const World world = world_of(policy, test);
  const DeviceId target = target_in(world, test);
  const PrincipalRef principal = test.session ? PrincipalRef(test.session->id) : PrincipalRef(test.device.id);
  for (const Access& access : asked(*policy, test)) {
    for (const Access& probe : probes(access)) {
      const Query query{principal, target, *probe.protocol, probe.ports.first};
      const Decision decision = evaluate(world, query, test.at);
      const bool right = decision.verdict == test.expect && (!test.rule || decision.rule == *test.rule);
      if (right && !result.access.empty()) continue;
      result.access = to_string(access);
      result.found = decision.verdict;
      result.rule = decision.rule;
      if (right) continue;
      result.passed = false;
      result.why = why(test, access, decision);
      return result;
    }
  }
  return result;
}

}  // namespace

World world_of(const PolicyPtr& policy, const PolicyTest& test) {
  World world;
  world.policy = policy;
  world.at = test.at;
  Device target = test.target;
  target.state = DeviceState::active;
  join(world, target, test);
  for (Device device : {test.device, target}) {
    device.state = DeviceState::active;
    device.number = world.next_device++;
    const DeviceId id = device.id;
    world.devices.emplace(id, std::move(device));
  }
  if (test.session) {
    const SubjectId user{test.user};
    Session session = *test.session;
    session.user = user;
    world.users.emplace(user, User{.id = user, .issuer = "test", .name = test.user});
    world.sessions.put(std::move(session));
  }
  return world;
}

DeviceId target_in(const World& world, const PolicyTest& test) {
  for (const auto& [id, device] : world.devices)
    if (id != test.device.id) return id;
  return test.device.id;
}

std::vector<TestResult> run_tests(const PolicyPtr& policy) {
  std::vector<TestResult> results;
  for (const PolicyTest& test : policy->tests) results.push_back(run(policy, test));
  return results;
}

std::vector<Diagnostic> failures(const std::vector<TestResult>& results) {
  std::vector<Diagnostic> all;
  for (const TestResult& result : results)
    if (!result.passed)
      all.push_back({.place = result.place,
                     .message = fmt::format("test {} fails: {}", in_quotes(result.name), result.why)});
  return all;
}

}  // namespace cordon::policy
