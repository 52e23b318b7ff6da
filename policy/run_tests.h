#pragma once
// A policy's own `[[test]]`s, each asked of the oracle in a world of its own.

#include <optional>
#include <string>
#include <vector>

#include "policy/evaluate.h"

namespace cordon::policy {

struct TestResult {
  std::string name;
  Place place;
  bool passed = false;
  Verdict expected = Verdict::allow;
  std::optional<std::string> expected_rule;
  Verdict found = Verdict::deny;  ///< of the access that fails, or of the first
  std::string rule;               ///< that decided; empty on a plain deny
  std::string access;             ///< "tcp/5432": the one that `found` is about
  /// "expected forbid, found allow by \"traders-to-ledger\"", with the conditions that failed; empty when
  /// passed.
  std::string why;
};

/// In order of name. Every access of a test must have the verdict expected, and the rule if one is named.
std::vector<TestResult> run_tests(const PolicyPtr& policy);

/// The failed ones as errors at their places.
std::vector<Diagnostic> failures(const std::vector<TestResult>& results);

/// A world of just what the test gives; nothing is numbered, as evaluate() needs no numbers.
World world_of(const PolicyPtr& policy, const PolicyTest& test);
/// The device in it that is asked for; a member may have to have a certain id.
DeviceId target_in(const World& world, const PolicyTest& test);

}  // namespace cordon::policy
