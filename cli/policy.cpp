#include "cli/policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include "base/time_zone.h"
#include "cli/commands.h"
#include "policy/parse.h"

namespace cordon::cli {
namespace {

/// A page or two; who has more mistakes mends these first.
constexpr std::size_t kMostDiagnostics = 200;

Result<int> show_policy(Context& context) {
  CORDON_ASSIGN(const json::object answer, context.api("GET", "/v1/policy"));
  if (context.as_json) {
    context.print_json(answer);
    return kOk;
  }
  const std::int64_t revision = number(answer, "revision");
  if (revision == 0) {
    context.env.out << "no policy is in force: nothing is reachable\n";
    return kOk;
  }
  context.env.out << fmt::format("# in force since revision {}\n", revision);
  if (!text(answer, "confirm_by").empty()) {
    const std::int64_t before = number(answer, "confirmed_revision");
    const std::string then =
        before == 0 ? "no policy is in force" : fmt::format("revision {} comes back", before);
    context.env.out << fmt::format("# waits for `cordon policy confirm {}` until {}; then {}\n", revision,
                                   local_time(answer, "confirm_by"), then);
  }
  for (const json::value& value : items(answer, "files")) {
    if (!value.is_object()) continue;
    const std::string content = text(value.get_object(), "text");
    context.env.out << fmt::format("\n# ---- {}\n{}{}", printable(text(value.get_object(), "name")), content,
                                   content.ends_with('\n') ? "" : "\n");
  }
  return kOk;
}

}  // namespace

CLI::Option* add_directory(CLI::App* command, std::string& directory) {
  return command->add_option("DIR", directory, "directory of *.toml files")->required();
}

std::string counted(std::size_t count, std::string_view word) {
  return fmt::format("{} {}{}", count, word, count == 1 ? "" : "s");
}

json::object diagnostic_json(const policy::Diagnostic& diagnostic) {
  json::array hints, also;
  for (const std::string& hint : diagnostic.hints) hints.emplace_back(hint);
  for (const policy::Place& place : diagnostic.also) {
    also.push_back(json::object{{"file", place.file}, {"line", place.line}, {"column", place.column}});
  }
  return {{"severity", diagnostic.severity == policy::Severity::error ? "error" : "warning"},
          {"file", diagnostic.place.file},
          {"line", diagnostic.place.line},
          {"column", diagnostic.place.column},
          {"message", diagnostic.message},
          {"hints", std::move(hints)},
          {"also", std::move(also)},
          {"text", policy::render(diagnostic)}};
}

void print_diagnostics(Context& context, const std::vector<policy::Diagnostic>& diagnostics) {
  const std::size_t shown = std::min(diagnostics.size(), kMostDiagnostics);
  for (std::size_t i = 0; i < shown; ++i)
    context.env.err << printable(policy::render(diagnostics[i])) << '\n';
  if (shown < diagnostics.size())
    context.env.err << fmt::format("and {} more like these\n", diagnostics.size() - shown);
}

void print_text(Context& context, std::string_view whole) {
  while (!whole.empty()) {
    const std::string_view line = whole.substr(0, whole.find('\n'));
    whole.remove_prefix(std::min(line.size() + 1, whole.size()));
    context.env.out << printable(line) << '\n';
  }
}

void print_diagnostics(Context& context, const json::array& diagnostics) {
  std::size_t shown = 0;
  for (const json::value& diagnostic : diagnostics) {
    if (!diagnostic.is_object() || ++shown > kMostDiagnostics) continue;
    context.env.err << printable(text(diagnostic.get_object(), "text")) << '\n';
  }
}

std::size_t count_errors(const std::vector<policy::Diagnostic>& diagnostics) {
  return static_cast<std::size_t>(
      std::ranges::count(diagnostics, policy::Severity::error, &policy::Diagnostic::severity));
}

Result<policy::PolicyPtr> load_policy(Context& context, const std::string& directory) {
  CORDON_ASSIGN(const auto files, read_policy_directory(directory));
  const policy::ParseResult parsed = policy::parse(files, system_time_zones());
  print_diagnostics(context, parsed.diagnostics);
  if (parsed.ok()) return parsed.policy;
  return fail(ErrorCode::invalid, fmt::format("the policy in {} has {}", directory,
                                              counted(count_errors(parsed.diagnostics), "error")));
}

Result<json::object> files_body(const std::string& directory) {
  CORDON_ASSIGN(const auto files, read_policy_directory(directory));
  json::array sent;
  for (const SourceFile& file : files) sent.push_back(json::object{{"name", file.name}, {"text", file.text}});
  return json::object{{"files", std::move(sent)}};
}

void add_policy(CLI::App& program, Context& context) {
  CLI::App& policy =
      *family(program, "policy", "who may reach what: check it, try it, put it in force, take it back");
  add_policy_check(policy, context);
  add_policy_decide(policy, context);
  add_policy_replay(policy, context);
  add_policy_plan(policy, context);
  add_policy_apply(policy, context);
  add_policy_confirm(policy, context);
  add_policy_rollback(policy, context);
  add_policy_history(policy, context);
  add_policy_diff(policy, context);
  add_policy_explain(policy, context);
  add_policy_learn(policy, context);
  CLI::App* show_command =
      command(policy, "show", "the policy in force, as it was written", "cordon policy show");
  does(show_command, context, [&context] { return show_policy(context); });
}

}  // namespace cordon::cli
