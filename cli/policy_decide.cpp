// `cordon policy decide`: the questions of a facts file, answered without any controller.

#include <fmt/format.h>

#include <memory>
#include <ostream>

#include "cli/commands.h"
#include "cli/policy.h"
#include "cli/policy_facts.h"
#include "policy/decide.h"

namespace cordon::cli {
namespace {

/// "health 0.9, trust 96"; empty when neither is known.
std::string standing_of(const policy::Decision& decision) {
  std::string out;
  if (decision.health) out = fmt::format("health {}.{}", *decision.health / 10, *decision.health % 10);
  if (decision.trust) out += fmt::format("{}trust {}", out.empty() ? "" : ", ", *decision.trust);
  return out;
}

void print_decision(Context& context, const policy::FactsQuery& query, const policy::Decision& decision,
                    std::string_view offset) {
  std::string line = fmt::format("{} to {} {}: {}", query.principal, query.target, query.access,
                                 policy::to_string(decision.verdict));
  if (!decision.rule.empty()) line += fmt::format(" by \"{}\"", decision.rule);
  if (decision.verdict == policy::Verdict::allow)
    line += fmt::format(" until {}", policy::format_with_offset(decision.deadline, offset));
  const bool plain = decision.verdict == policy::Verdict::deny && decision.because.empty();
  const std::string reason = decision.reason.empty() && plain ? "no rule allows it" : decision.reason;
  if (!reason.empty()) line += fmt::format(" ({})", reason);
  if (const std::string standing = standing_of(decision); !standing.empty())
    line += fmt::format("; {}", standing);
  if (decision.observed) line += "; the target only observes";
  context.env.out << printable(line) << '\n';
  if (decision.verdict == policy::Verdict::allow) return;
  for (const policy::Because& because : decision.because) {
    for (const policy::FailedCondition& condition : because.failed)
      context.env.out << printable(fmt::format("  \"{}\" needs {} {}, found {}", because.rule,
                                               condition.condition, condition.needed, condition.found))
                      << '\n';
  }
}

Result<int> decide_facts(Context& context, const std::string& directory, const std::string& facts_file) {
  CORDON_ASSIGN(const policy::PolicyPtr policy, load_policy(context, directory));
  CORDON_ASSIGN(const policy::Facts facts, load_facts(context, facts_file, policy));
  const Timestamp now = facts.at.value_or(context.env.now());
  for (const policy::FactsQuery& query : facts.queries) {
    const policy::Decision decision = policy::decide(facts.world, query, now);
    if (context.as_json) {
      context.env.out << policy::answer_line(query, decision, facts.offset) << '\n';
    } else {
      print_decision(context, query, decision, facts.offset);
    }
  }
  if (facts.queries.empty()) context.note("the facts ask nothing: \"queries\" is empty");
  return kOk;
}

}  // namespace

Result<policy::Facts> load_facts(Context& context, const std::string& file, const policy::PolicyPtr& policy) {
  CORDON_ASSIGN(std::string text, read_file(file));
  policy::FactsResult read = policy::read_facts({file, std::move(text)}, policy);
  print_diagnostics(context, read.diagnostics);
  if (read.facts) return std::move(*read.facts);
  return fail(ErrorCode::invalid,
              fmt::format("the facts in {} have {}", file, counted(count_errors(read.diagnostics), "error")));
}

CLI::Option* add_facts(CLI::App* command, std::string& file) {
  return command->add_option("--facts", file, "facts (JSON): devices, sessions, queries, the time")
      ->required();
}

void add_policy_decide(CLI::App& policy, Context& context) {
  const auto directory = std::make_shared<std::string>();
  const auto facts = std::make_shared<std::string>();
  CLI::App* made = command(
      policy, "decide", "answers the questions of a facts file by a policy; works without a controller",
      "cordon policy decide /etc/cordon/policy --facts facts.json\n"
      "cordon policy decide /etc/cordon/policy --facts facts.json --json   # a line each");
  add_directory(made, *directory);
  add_facts(made, *facts);
  does(made, context, [&context, directory, facts] { return decide_facts(context, *directory, *facts); });
}

}  // namespace cordon::cli
