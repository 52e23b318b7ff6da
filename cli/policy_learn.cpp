// `cordon policy learn`: rules for what an observing segment let through.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <ostream>

#include "base/files.h"
#include "cli/commands.h"
#include "cli/policy.h"

namespace cordon::cli {
namespace {

struct LearnOptions {
  std::string segment, file;
  std::string since = "7d";
  std::size_t one_off = 1;
};

std::string learned_summary(const json::object& answer) {
  const std::size_t rules = items(answer, "rules").size();
  std::string out = fmt::format("{} cover{} {}", counted(rules, "rule"), rules == 1 ? "s" : "",
                                counted(static_cast<std::size_t>(number(answer, "flows_covered")), "flow"));
  if (const std::int64_t left = number(answer, "flows_left_out"); left > 0)
    out += fmt::format("; {} left out", left);
  if (const std::int64_t allowed = number(answer, "flows_allowed"); allowed > 0)
    out += fmt::format("; {} allowed already", allowed);
  return out;
}

/// A file that is there may hold somebody's work.
Result<> check_new_file(const std::string& file) {
  std::error_code none;
  if (file.empty() || !std::filesystem::exists(std::filesystem::symlink_status(file, none))) return {};
  return fail(ErrorCode::conflict, fmt::format("{} exists already", file), "give another name to --out");
}

Result<int> learn_policy(Context& context, const LearnOptions& asked) {
  constexpr Seconds kAnswerWithin{120};
  CORDON_TRY(check_new_file(asked.file));
  CORDON_ASSIGN(const Seconds since, parse_duration(asked.since));
  const json::object body{{"segment", asked.segment}, {"since_s", since.count()}, {"one_off", asked.one_off}};
  CORDON_ASSIGN(const json::object answer, context.api("POST", "/v1/policy/learn", &body, kAnswerWithin));
  const std::string proposal = text(answer, "text");
  if (!asked.file.empty()) CORDON_TRY(write_file(asked.file, proposal));
  if (context.as_json) {
    context.print_json(answer);
    return kOk;
  }
  for (const json::value& note : items(answer, "notes"))
    if (note.is_string()) context.note(fmt::format("cordon: {}", printable(note.as_string())));
  if (asked.file.empty()) {
    print_text(context, proposal);
    context.note("cordon: " + learned_summary(answer));
  } else {
    context.env.out << fmt::format("{}, in {}\n", learned_summary(answer), printable(asked.file));
  }
  return kOk;
}

}  // namespace

void add_policy_learn(CLI::App& policy, Context& context) {
  const auto asked = std::make_shared<LearnOptions>();
  CLI::App* made =
      command(policy, "learn",
              "proposes rules for what a segment in observe mode let through, as a file to read, "
              "change and plan",
              "cordon policy learn lab\n"
              "cordon policy learn lab --since 3d --out /etc/cordon/policy/lab-learned.toml");
  made->add_option("SEGMENT", asked->segment, "a segment of the policy in force")->required();
  made->add_option("--since", asked->since, "how far back: 12h, 7d")
      ->check(check_duration)
      ->capture_default_str();
  made->add_option("--one-off", asked->one_off,
                   "leave out what somebody did at most so often on a port; 0: leave out nothing")
      ->check(whole_number(0, 1'000'000))
      ->capture_default_str();
  made->add_option("--out", asked->file, "a new file for the proposal; default: standard output");
  does(made, context, [&context, asked] { return learn_policy(context, *asked); });
}

}  // namespace cordon::cli
