#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>

#include "cli/commands.h"

namespace cordon::cli {
namespace {

Result<std::string> ask_secret(const Context& context, std::string_view prompt) {
  auto answer = context.env.prompt(prompt, true);
  if (!answer) answer.error().hint = "for scripts: --password-file FILE (- is standard input)";
  return answer;
}

Result<std::string> new_password(Context& context, const std::string& file) {
  if (!file.empty()) return read_secret(context, file);
  CORDON_ASSIGN(std::string first, ask_secret(context, "New password: "));
  CORDON_ASSIGN(const std::string second, ask_secret(context, "Again: "));
  if (first != second) return fail(ErrorCode::invalid, "the two passwords differ", "try again");
  return first;
}

Result<int> add(Context& context, const std::string& name, const std::string& password_file) {
  CORDON_ASSIGN(std::string password, new_password(context, password_file));
  const json::object body{{"name", name}, {"password", password}};
  CORDON_ASSIGN(const json::object answer, context.api("POST", "/v1/users", &body));
  if (context.as_json) {
    context.print_json(answer);
    return kOk;
  }
  context.env.out << fmt::format("{} is added ({})\n", printable(text(answer, "name")), text(answer, "id"));
  context.env.out << text(answer, "otpauth") << '\n';
  context.note("the second line is for an authenticator app and is shown this once");
  return kOk;
}

}  // namespace

void add_user(CLI::App& program, Context& context) {
  CLI::App& user = *family(program, "user", "people who log in with a password and a one-time code");
  const auto name = std::make_shared<std::string>();
  const auto password_file = std::make_shared<std::string>();
  const auto wait = std::make_shared<Wait>();

  CLI::App* add_command =
      command(user, "add", "adds a person; asks for the password, prints the authenticator's URI",
              "cordon user add ann@acme.example\n"
              "cordon user add ann@acme.example --password-file -     # from standard input");
  add_command->add_option("NAME", *name, "like an e-mail address, lowercase")->required();
  add_command->add_option("--password-file", *password_file, "file with the password; - is standard input");
  does(add_command, context, [&context, name, password_file] { return add(context, *name, *password_file); });

  CLI::App* list_command = command(user, "list", "all people", "cordon user list");
  does(list_command, context, [&context] {
    return print_list(
        context, context.list("/v1/users"), Table({"NAME", "ID", "FROM", "STATE"}),
        [](const json::object& user) -> std::vector<std::string> {
          return {text(user, "name"), text(user, "id"), text(user, "issuer"),
                  flag(user, "disabled") ? "disabled" : "active"};
        },
        "no users; `cordon user add` adds one");
  });

  CLI::App* disable =
      command(user, "disable", "ends a person's sessions and logins", "cordon user disable ann@acme.example");
  disable->add_option("NAME", *name, "name or id")->required();
  add_wait(disable, *wait);
  does(disable, context, [&context, name, wait] {
    return change(context, "POST", fmt::format("/v1/users/{}/disable", path_part(*name)), {}, *wait,
                  fmt::format("{} is disabled", *name));
  });

  CLI::App* enable =
      command(user, "enable", "lets a disabled person log in again", "cordon user enable ann@acme.example");
  enable->add_option("NAME", *name, "name or id")->required();
  add_wait(enable, *wait);
  does(enable, context, [&context, name, wait] {
    return change(context, "POST", fmt::format("/v1/users/{}/enable", path_part(*name)), {}, *wait,
                  fmt::format("{} may log in again", *name));
  });
}

}  // namespace cordon::cli
