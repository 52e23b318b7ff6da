// `cordon policy explain`: may they, by which rule, until when; or what stands in the way.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>

#include "cli/commands.h"
#include "cli/policy.h"

namespace cordon::cli {
namespace {

struct ExplainOptions {
  std::string user, device, to;
  std::string assurance = "aal2";
};

Result<int> explain_policy(Context& context, const ExplainOptions& asked) {
  json::object body{{"device", asked.device}, {"to", asked.to}, {"assurance", asked.assurance}};
  if (!asked.user.empty()) body["user"] = asked.user;
  CORDON_ASSIGN(const json::object answer, context.api("POST", "/v1/policy/explain", &body));
  const int exit = flag(answer, "allowed") ? kOk : kFailed;
  if (context.as_json) {
    context.print_json(answer);
    return exit;
  }
  for (const json::value& line : items(answer, "lines"))
    if (line.is_string())
      context.env.out << printable(with_local_times(std::string_view(line.get_string()))) << '\n';
  return exit;
}

}  // namespace

void add_policy_explain(CLI::App& policy, Context& context) {
  const auto asked = std::make_shared<ExplainOptions>();
  CLI::App* made = command(
      policy, "explain", "may somebody reach a service, by which rule, until when; or what stands in the way",
      "cordon policy explain --user ann@acme.example --device ann-laptop --to settlement/ledger\n"
      "cordon policy explain --device web-1 --to \"settlement tcp/22\"   # the machine itself\n"
      "# status 0: they may; 1: they may not");
  made->add_option("--user", asked->user, "a name or id; without: the machine itself");
  made->add_option("--device", asked->device, "where they are")->required();
  made->add_option("--to", asked->to, "SEGMENT/SERVICE, SEGMENT/* or \"SEGMENT tcp/22\"")->required();
  made->add_option("--assurance", asked->assurance, "of the login to imagine when no session is open")
      ->check(CLI::IsMember({"aal1", "aal2", "aal3"}))
      ->capture_default_str();
  does(made, context, [&context, asked] { return explain_policy(context, *asked); });
}

}  // namespace cordon::cli
