// `cordon policy check`: every mistake in a directory, and the policy's own tests.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <ostream>

#include "base/time_zone.h"
#include "cli/commands.h"
#include "cli/policy.h"
#include "policy/bound_tests.h"
#include "policy/parse.h"
#include "policy/run_tests.h"

namespace cordon::cli {
namespace {

json::object test_json(const policy::TestResult& result) {
  const auto or_null = [](const std::string& rule) {
    return rule.empty() ? json::value(nullptr) : json::value(rule);
  };
  return {{"name", result.name},
          {"file", result.place.file},
          {"line", result.place.line},
          {"column", result.place.column},
          {"passed", result.passed},
          {"expected", policy::to_string(result.expected)},
          {"expected_rule", or_null(result.expected_rule.value_or(""))},
          {"found", policy::to_string(result.found)},
          {"rule", or_null(result.rule)},
          {"access", result.access},
          {"why", result.why}};
}

Result<int> check_policy(Context& context, const std::string& directory) {
  CORDON_ASSIGN(const auto files, read_policy_directory(directory));
  policy::ParseResult parsed = policy::parse(files, system_time_zones());
  policy::bound_tests(parsed);
  std::vector<policy::TestResult> tests;
  if (parsed.ok()) tests = policy::run_tests(parsed.policy);
  const auto failed = static_cast<std::size_t>(std::ranges::count(tests, false, &policy::TestResult::passed));
  const bool good = parsed.ok() && failed == 0;
  if (context.as_json) {
    json::array diagnostics, told;
    for (const auto& diagnostic : parsed.diagnostics) diagnostics.push_back(diagnostic_json(diagnostic));
    for (const auto& test : tests) told.push_back(test_json(test));
    context.print_json({{"ok", good}, {"diagnostics", std::move(diagnostics)}, {"tests", std::move(told)}});
    return good ? kOk : kFailed;
  }
  print_diagnostics(context, parsed.diagnostics);
  print_diagnostics(context, policy::failures(tests));
  if (!parsed.ok()) {
    return fail(ErrorCode::invalid, fmt::format("the policy in {} has {}", directory,
                                                counted(count_errors(parsed.diagnostics), "error")));
  }
  if (failed > 0) {
    return fail(ErrorCode::invalid, fmt::format("the policy in {} fails {} of its {}", directory, failed,
                                                counted(tests.size(), "test")));
  }
  context.env.out << fmt::format(
      "the policy is good: {}, {}, {}, {}\n", counted(files.size(), "file"),
      counted(parsed.policy->segments.size(), "segment"), counted(parsed.policy->rules.size(), "rule"),
      tests.empty() ? "no tests" : fmt::format("{} passed", counted(tests.size(), "test")));
  return kOk;
}

}  // namespace

void add_policy_check(CLI::App& policy, Context& context) {
  const auto directory = std::make_shared<std::string>();
  CLI::App* made = command(policy, "check",
                           "every mistake in a policy, with its place, and the policy's own [[test]]s; "
                           "works without a controller",
                           "cordon policy check /etc/cordon/policy\n"
                           "cordon policy check /etc/cordon/policy --json");
  add_directory(made, *directory);
  does(made, context, [&context, directory] { return check_policy(context, *directory); });
}

}  // namespace cordon::cli
