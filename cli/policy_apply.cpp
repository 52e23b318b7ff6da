// `cordon policy apply`, `confirm` and `rollback`: a policy stays when somebody confirms it in time.

#include <fmt/format.h>

#include <memory>
#include <ostream>

#include "cli/commands.h"
#include "cli/policy.h"

namespace cordon::cli {
namespace {

constexpr Seconds kSoonest{10}, kLatest{24 * 3600};
/// The controller parses, tries and compiles the policy before it answers.
constexpr Seconds kAnswerWithin{60};

std::string check_confirm_within(const std::string& text) {
  const auto within = parse_duration(text);
  if (!within || *within < kSoonest || *within > kLatest)
    return fmt::format("\"{}\" must be a duration from 10s to 24h", text);
  return "";
}

struct ApplyOptions {
  std::string directory;
  std::string confirm_within = "5m";
  std::int64_t revision = 0;  ///< of confirm and rollback; 0: the one that waits
  std::string reason;
  Wait wait;
};

CLI::Option* add_confirm_within(CLI::App* command, std::string& within) {
  return command
      ->add_option("--confirm-within", within, "how long it waits for `cordon policy confirm`, 10s to 24h")
      ->check(check_confirm_within)
      ->capture_default_str();
}

/// The answer to a change of the policy, and its receipts when they were waited for.
Result<int> finish(Context& context, const json::object& answer, const Wait& wait) {
  CORDON_ASSIGN(const Seconds seconds, wait.seconds());
  return seconds > Seconds{0} ? print_receipts(context, answer) : kOk;
}

Result<json::object> post_change(Context& context, const std::string& target, json::object body,
                                 const Wait& wait) {
  CORDON_ASSIGN(const Seconds seconds, wait.seconds());
  if (seconds > Seconds{0}) body["wait_s"] = seconds.count();
  return context.api("POST", target, &body, seconds + kAnswerWithin);
}

/// Until when the policy that just came in force waits, and what keeps it.
void print_how_to_keep(Context& context, const json::object& answer) {
  const std::int64_t revision = number(answer, "revision");
  if (text(answer, "confirm_by").empty()) return;
  context.env.out << fmt::format(
      "it stays only if it is confirmed by {}:\n"
      "    cordon policy confirm {}\n"
      "otherwise the policy before comes back by itself; `cordon policy rollback` brings it back at once\n",
      local_time(answer, "confirm_by"), revision);
}

/// What changes for whom, as the controller worked it out before it applied.
void print_summary(Context& context, const json::object& answer) {
  for (const json::value& line : items(part(answer, "plan"), "lines")) {
    if (line.is_string()) context.env.out << printable(std::string_view(line.get_string())) << '\n';
  }
}

Result<int> apply_policy(Context& context, const ApplyOptions& asked) {
  CORDON_ASSIGN(json::object body, files_body(asked.directory));
  const std::size_t files = items(body, "files").size();
  CORDON_ASSIGN(const Seconds within, parse_duration(asked.confirm_within));
  body["confirm_within_s"] = within.count();
  CORDON_ASSIGN(const json::object answer,
                post_change(context, "/v1/policy/apply", std::move(body), asked.wait));
  if (context.as_json) {
    context.print_json(answer);
    return exit_of_receipts(answer);
  }
  print_diagnostics(context, items(answer, "diagnostics"));
  print_summary(context, answer);
  context.env.out << fmt::format("the policy is in force (revision {}, {})\n", number(answer, "revision"),
                                 counted(files, "file"));
  print_how_to_keep(context, answer);
  return finish(context, answer, asked.wait);
}

/// The revision that waits for confirmation now.
Result<std::int64_t> pending_revision(Context& context) {
  CORDON_ASSIGN(const json::object policy, context.api("GET", "/v1/policy"));
  if (text(policy, "confirm_by").empty()) {
    return fail(
        ErrorCode::conflict,
        fmt::format("no policy waits for confirmation; revision {} is in force", number(policy, "revision")),
        "`cordon policy history` tells what became of each");
  }
  return number(policy, "revision");
}

Result<int> confirm_policy(Context& context, const ApplyOptions& asked) {
  std::int64_t revision = asked.revision;
  if (revision == 0) {
    CORDON_ASSIGN(revision, pending_revision(context));
  }
  CORDON_ASSIGN(const json::object answer,
                post_change(context, "/v1/policy/confirm", {{"revision", revision}}, asked.wait));
  if (context.as_json) {
    context.print_json(answer);
    return exit_of_receipts(answer);
  }
  context.env.out << fmt::format("the policy of revision {} is confirmed and stays (revision {})\n", revision,
                                 number(answer, "revision"));
  return finish(context, answer, asked.wait);
}

Result<int> roll_back_policy(Context& context, const ApplyOptions& asked) {
  json::object body;
  if (asked.revision != 0) {
    body["revision"] = asked.revision;
    CORDON_ASSIGN(const Seconds within, parse_duration(asked.confirm_within));
    body["confirm_within_s"] = within.count();
  }
  if (!asked.reason.empty()) body["reason"] = asked.reason;
  CORDON_ASSIGN(const json::object answer,
                post_change(context, "/v1/policy/rollback", std::move(body), asked.wait));
  if (context.as_json) {
    context.print_json(answer);
    return exit_of_receipts(answer);
  }
  print_diagnostics(context, items(answer, "diagnostics"));
  print_summary(context, answer);
  const std::int64_t back = number(answer, "policy_revision");
  const std::string came = back == 0 ? "no policy is in force: nothing is reachable"
                                     : fmt::format("the policy of revision {} is in force again", back);
  context.env.out << fmt::format("{} (revision {})\n", came, number(answer, "revision"));
  print_how_to_keep(context, answer);
  return finish(context, answer, asked.wait);
}

}  // namespace

void add_policy_apply(CLI::App& policy, Context& context) {
  const auto asked = std::make_shared<ApplyOptions>();
  CLI::App* made = command(
      policy, "apply",
      "puts a policy in force until you confirm it, or takes it back when you don't in time; one with a "
      "mistake or a failing [[test]] changes nothing",
      "cordon policy apply /etc/cordon/policy\n"
      "cordon policy apply /etc/cordon/policy --confirm-within 30m\n"
      "cordon policy apply /etc/cordon/policy --wait 10s     # and shows each node's ack");
  add_directory(made, asked->directory);
  add_confirm_within(made, asked->confirm_within);
  add_wait(made, asked->wait);
  does(made, context, [&context, asked] { return apply_policy(context, *asked); });
}

void add_policy_confirm(CLI::App& policy, Context& context) {
  const auto asked = std::make_shared<ApplyOptions>();
  CLI::App* made = command(policy, "confirm", "keeps the policy that waits for its confirmation",
                           "cordon policy confirm 17\n"
                           "cordon policy confirm        # whichever waits");
  made->add_option("REVISION", asked->revision, "as `policy apply` told it")->check(whole_number(1));
  add_wait(made, asked->wait);
  does(made, context, [&context, asked] { return confirm_policy(context, *asked); });
}

void add_policy_rollback(CLI::App& policy, Context& context) {
  const auto asked = std::make_shared<ApplyOptions>();
  CLI::App* made = command(policy, "rollback",
                           "takes the policy that waits back; with a revision, applies that older one again. "
                           "Isolations and sessions stay as they are",
                           "cordon policy rollback --reason \"the ledger lost its clients\"\n"
                           "cordon policy rollback 12 --confirm-within 10m");
  made->add_option("REVISION", asked->revision, "of an older policy, as `policy history` tells it")
      ->check(whole_number(1));
  made->add_option("--reason", asked->reason, "for the audit trail");
  add_confirm_within(made, asked->confirm_within);
  add_wait(made, asked->wait);
  does(made, context, [&context, asked] { return roll_back_policy(context, *asked); });
}

}  // namespace cordon::cli
