// `cordon policy plan`: what a policy would change, before it does.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>

#include "cli/commands.h"
#include "cli/policy.h"

namespace cordon::cli {
namespace {

/// What fits a screen or two; --json has all.
constexpr std::size_t kMostPlanLines = 50, kMostWarningLines = 10;

void print_plan_warnings(Context& context, const json::object& answer) {
  for (const json::value& value : items(answer, "warnings")) {
    if (!value.is_object()) continue;
    const json::object& warning = value.get_object();
    context.env.out << fmt::format("warning: {}\n", printable(text(warning, "text")));
    const json::array& lines = items(warning, "lines");
    for (std::size_t i = 0; i < lines.size() && i < kMostWarningLines; ++i)
      if (lines[i].is_string())
        context.env.out << fmt::format("    {}\n", printable(std::string_view(lines[i].get_string())));
    if (lines.size() > kMostWarningLines)
      context.env.out << fmt::format("    and {} more\n", lines.size() - kMostWarningLines);
  }
}

void print_plan_changes(Context& context, const json::object& answer) {
  std::size_t all = 0;
  for (const json::value& entry : items(answer, "changes")) {
    if (!entry.is_object()) continue;
    for (const json::value& line : items(entry.get_object(), "lines"))
      if (line.is_string() && ++all <= kMostPlanLines)
        context.env.out << fmt::format("  {}\n", printable(std::string_view(line.get_string())));
  }
  if (all > kMostPlanLines)
    context.env.out << fmt::format("  and {} lines more; --json tells all\n", all - kMostPlanLines);
  if (const std::int64_t left = number(part(answer, "totals"), "changes_left_out"); left > 0)
    context.env.out << fmt::format("  and {} kinds of change more than an answer holds\n", left);
}

Result<int> plan_policy(Context& context, const std::string& directory) {
  constexpr Seconds kAnswerWithin{120};
  CORDON_ASSIGN(const json::object body, files_body(directory));
  CORDON_ASSIGN(const json::object answer, context.api("POST", "/v1/policy/plan", &body, kAnswerWithin));
  if (context.as_json) {
    context.print_json(answer);
    return kOk;
  }
  print_diagnostics(context, items(answer, "diagnostics"));
  context.env.out << printable(text(answer, "summary")) << '\n';
  print_plan_warnings(context, answer);
  print_plan_changes(context, answer);
  for (const json::value& obstacle : items(answer, "obstacles")) {
    if (!obstacle.is_string()) continue;
    context.env.out << "apply would be refused now: ";
    print_text(context, std::string_view(obstacle.get_string()));
  }
  return kOk;
}

}  // namespace

void add_policy_plan(CLI::App& policy, Context& context) {
  const auto directory = std::make_shared<std::string>();
  CLI::App* made =
      command(policy, "plan",
              "who would gain and who would lose what, and which open flows would be cut; "
              "nothing changes",
              "cordon policy plan /etc/cordon/policy\n"
              "cordon policy plan /etc/cordon/policy --json   # every person, device and service");
  add_directory(made, *directory);
  does(made, context, [&context, directory] { return plan_policy(context, *directory); });
}

}  // namespace cordon::cli
