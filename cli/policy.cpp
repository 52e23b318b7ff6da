#include "policy/parse.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <ostream>

#include "base/files.h"
#include "base/time_zone.h"
#include "cli/commands.h"

namespace cordon::cli {
namespace {

json::object view(const policy::Diagnostic& diagnostic) {
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

std::string plural(std::size_t count, std::string_view word) {
  return fmt::format("{} {}{}", count, word, count == 1 ? "" : "s");
}

Result<int> check(Context& context, const std::string& directory) {
  CORDON_ASSIGN(const auto files, read_policy_directory(directory));
  const policy::ParseResult parsed = policy::parse(files, system_time_zones());
  if (context.as_json) {
    json::array diagnostics;
    for (const auto& diagnostic : parsed.diagnostics) diagnostics.push_back(view(diagnostic));
    context.print_json({{"ok", parsed.ok()}, {"diagnostics", std::move(diagnostics)}});
    return parsed.ok() ? kOk : kFailed;
  }
  for (const auto& diagnostic : parsed.diagnostics)
    context.env.err << printable(policy::render(diagnostic)) << '\n';
  if (!parsed.ok()) {
    const auto errors =
        std::ranges::count(parsed.diagnostics, policy::Severity::error, &policy::Diagnostic::severity);
    return fail(ErrorCode::invalid, fmt::format("the policy in {} has {}", directory,
                                                plural(static_cast<std::size_t>(errors), "error")));
  }
  context.env.out << fmt::format("the policy is good: {}, {}, {}\n", plural(files.size(), "file"),
                                 plural(parsed.policy->segments.size(), "segment"),
                                 plural(parsed.policy->rules.size(), "rule"));
  return kOk;
}

Result<int> apply(Context& context, const std::string& directory, const Wait& wait) {
  CORDON_ASSIGN(const auto files, read_policy_directory(directory));
  CORDON_ASSIGN(const Seconds seconds, wait.seconds());
  json::array sent;
  for (const SourceFile& file : files) sent.push_back(json::object{{"name", file.name}, {"text", file.text}});
  json::object body{{"files", std::move(sent)}};
  if (seconds > Seconds{0}) body["wait_s"] = seconds.count();
  CORDON_ASSIGN(const json::object answer,
                context.api("POST", "/v1/policy/apply", &body, seconds + Seconds{60}));
  if (context.as_json) {
    context.print_json(answer);
    return exit_of_receipts(answer);
  }
  for (const json::value& diagnostic : items(answer, "diagnostics")) {
    if (diagnostic.is_object()) context.env.err << printable(text(diagnostic.get_object(), "text")) << '\n';
  }
  context.env.out << fmt::format("the policy is in force (revision {}, {})\n", number(answer, "revision"),
                                 plural(files.size(), "file"));
  return seconds > Seconds{0} ? print_receipts(context, answer) : kOk;
}

Result<int> show(Context& context) {
  CORDON_ASSIGN(const json::object answer, context.api("GET", "/v1/policy"));
  if (context.as_json) {
    context.print_json(answer);
    return kOk;
  }
  if (number(answer, "revision") == 0) {
    context.env.out << "no policy is in force: nothing is reachable\n";
    return kOk;
  }
  context.env.out << fmt::format("# in force since revision {}\n", number(answer, "revision"));
  for (const json::value& value : items(answer, "files")) {
    if (!value.is_object()) continue;
    const std::string content = text(value.get_object(), "text");
    context.env.out << fmt::format("\n# ---- {}\n{}{}", printable(text(value.get_object(), "name")), content,
                                   content.ends_with('\n') ? "" : "\n");
  }
  return kOk;
}

}  // namespace

void add_policy(CLI::App& program, Context& context) {
  CLI::App& policy = *family(program, "policy", "who may reach what: check it, put it in force, show it");
  const auto directory = std::make_shared<std::string>();
  const auto wait = std::make_shared<Wait>();

  CLI::App* check_command =
      command(policy, "check", "every mistake in a policy, with its place; works without a controller",
              "cordon policy check /etc/cordon/policy");
  check_command->add_option("DIR", *directory, "directory of *.toml files")->required();
  does(check_command, context, [&context, directory] { return check(context, *directory); });

  CLI::App* apply_command =
      command(policy, "apply", "puts a policy in force; one with a mistake changes nothing",
              "cordon policy apply /etc/cordon/policy\n"
              "cordon policy apply /etc/cordon/policy --wait 10s     # and shows each node's ack");
  apply_command->add_option("DIR", *directory, "directory of *.toml files")->required();
  add_wait(apply_command, *wait);
  does(apply_command, context, [&context, directory, wait] { return apply(context, *directory, *wait); });

  CLI::App* show_command =
      command(policy, "show", "the policy in force, as it was written", "cordon policy show");
  does(show_command, context, [&context] { return show(context); });
}

}  // namespace cordon::cli
