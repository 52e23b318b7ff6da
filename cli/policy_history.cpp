// `cordon policy history` and `diff`: what was applied, by whom, and what changed.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>

#include "cli/commands.h"
#include "cli/policy.h"

namespace cordon::cli {
namespace {

/// Who brought the present state about, and why.
std::string history_note(const json::object& record) {
  const std::string state = text(record, "state");
  const std::string reason = text(record, "reason");
  if (state == "pending") return fmt::format("to be confirmed by {}", local_time(record, "confirm_by"));
  if (state == "superseded") return fmt::format("by revision {}", number(record, "replaced_by"));
  if (state == "rolled back") {
    const std::string by = text(record, "by_name");
    return fmt::format("{}{}{}", by.empty() ? "" : "by " + by, by.empty() || reason.empty() ? "" : ": ",
                       reason);
  }
  return reason;
}

std::vector<std::string> history_row(const json::object& record) {
  return {std::to_string(number(record, "revision")),
          local_time(record, "at"),
          text(record, "actor_name"),
          std::to_string(number(record, "files")),
          text(record, "state"),
          local_time(record, "since"),
          history_note(record)};
}

struct DiffOptions {
  std::int64_t a = 0, b = -1;  ///< -1: the one in force
};

Result<int> diff_policies(Context& context, const DiffOptions& asked) {
  std::string target = fmt::format("/v1/policy/diff?a={}", asked.a);
  if (asked.b >= 0) target += fmt::format("&b={}", asked.b);
  CORDON_ASSIGN(const json::object answer, context.api("GET", target));
  if (context.as_json) {
    context.print_json(answer);
    return kOk;
  }
  const json::array& files = items(answer, "files");
  if (files.empty()) {
    context.env.out << fmt::format("revisions {} and {} have the same policy\n", number(answer, "a"),
                                   number(answer, "b"));
  }
  for (const json::value& file : files) {
    if (!file.is_object()) continue;
    // Line by line: what people wrote may hold what a terminal would obey.
    const std::string diff = text(file.get_object(), "diff");
    for (std::string_view rest = diff; !rest.empty();) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(line.size() + 1, rest.size()));
      std::string shown;
      for (const char c : line) shown += c == '\t' ? ' ' : c;
      context.env.out << printable(shown) << '\n';
    }
  }
  return kOk;
}

}  // namespace

void add_policy_history(CLI::App& policy, Context& context) {
  const auto limit = std::make_shared<std::size_t>(20);
  CLI::App* made =
      command(policy, "history", "every policy that was applied, the newest first, and what became of it",
              "cordon policy history\n"
              "cordon policy history --limit 100 --json");
  made->add_option("--limit", *limit, "how many at most")
      ->check(whole_number(1, 100'000))
      ->capture_default_str();
  does(made, context, [&context, limit] {
    return print_list(context, context.list("/v1/policy/history", *limit),
                      Table({"REVISION", "APPLIED", "BY", "FILES", "STATE", "SINCE", "NOTE"}), history_row,
                      "no policy was applied yet");
  });
}

void add_policy_diff(CLI::App& policy, Context& context) {
  const auto asked = std::make_shared<DiffOptions>();
  CLI::App* made = command(policy, "diff", "what changed from one applied policy to another, file by file",
                           "cordon policy diff 12 17\n"
                           "cordon policy diff 12        # to the one in force\n"
                           "cordon policy diff 0 12      # all of it");
  made->add_option("A", asked->a, "revision of the older; 0: no policy at all")
      ->required()
      ->check(whole_number(0));
  made->add_option("B", asked->b, "revision of the newer; left out: the one in force")
      ->check(whole_number(0));
  does(made, context, [&context, asked] { return diff_policies(context, *asked); });
}

}  // namespace cordon::cli
