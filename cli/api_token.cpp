#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>

#include "cli/commands.h"

namespace cordon::cli {
namespace {

struct NewApiToken {
  std::string role, owner, expires = "90d";
};

Result<int> create_api_token(Context& context, const NewApiToken& asked) {
  CORDON_ASSIGN(const Seconds expires, parse_duration(asked.expires));
  json::object body{{"role", asked.role}, {"expires_in_s", expires.count()}};
  if (!asked.owner.empty()) body["owner"] = asked.owner;
  CORDON_ASSIGN(const json::object answer, context.api("POST", "/v1/api-tokens", &body));
  if (context.as_json) {
    context.print_json(answer);
    return kOk;
  }
  context.env.out << text(answer, "token") << '\n';
  context.note(fmt::format("{} until {}; keep it in a file that only you can read, for --token-file",
                           text(answer, "id"), local_time(answer, "expires_at")));
  return kOk;
}

}  // namespace

void add_api_token(CLI::App& program, Context& context) {
  CLI::App& token = *family(program, "api-token", "tokens for the REST interface");
  const auto asked = std::make_shared<NewApiToken>();
  const auto id = std::make_shared<std::string>();

  CLI::App* create_command =
      command(token, "create", "prints a token once; only on the controller's own host",
              "cordon api-token create --role operator --owner ann@acme.example --expires 30d");
  create_command->add_option("--role", asked->role, "viewer, auditor, engineer, operator or admin")
      ->required();
  create_command->add_option("--owner", asked->owner, "the user whom it dies with; default: root@local");
  create_command->add_option("--expires", asked->expires, "how long it lives, 90d at most")
      ->capture_default_str()
      ->check(duration_up_to(std::chrono::days{90}));
  does(create_command, context, [&context, asked] { return create_api_token(context, *asked); });

  CLI::App* list_command =
      command(token, "list", "API tokens, without their secrets", "cordon api-token list");
  does(list_command, context, [&context] {
    return print_list(
        context, context.list("/v1/api-tokens"), Table({"ID", "STATE", "ROLE", "OWNER", "EXPIRES"}),
        [](const json::object& token) -> std::vector<std::string> {
          return {text(token, "id"), text(token, "state"), text(token, "role"), text(token, "owner"),
                  local_time(token, "expires_at")};
        },
        "no API tokens");
  });

  CLI::App* revoke = command(token, "revoke", "nobody gets in with it any more",
                             "cordon api-token revoke a-0123456789abcdef");
  revoke->add_option("ID", *id, "as `cordon api-token list` shows it")->required();
  does(revoke, context, [&context, id] {
    return change(context, "DELETE", "/v1/api-tokens/" + path_part(*id), {}, {},
                  fmt::format("{} is revoked", *id));
  });
}

}  // namespace cordon::cli
