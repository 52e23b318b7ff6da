#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>

#include "cli/commands.h"
#include "cli/reach.h"

namespace cordon::cli {
namespace {

struct LoginOptions {
  std::string user, password_file, totp;
};

Result<std::string> ask(const Context& context, std::string_view prompt, bool secret) {
  auto answer = context.env.prompt(prompt, secret);
  if (!answer) {
    answer.error().hint =
        "for scripts: --user NAME, --password-file FILE (- is standard input) and --totp CODE";
  }
  return answer;
}

Result<int> login(Context& context, const LoginOptions& options) {
  std::string user = options.user, password, totp = options.totp;
  if (user.empty()) {
    CORDON_ASSIGN(user, ask(context, "User: ", false));
  }
  if (options.password_file.empty()) {
    CORDON_ASSIGN(password, ask(context, "Password: ", true));
  } else {
    CORDON_ASSIGN(password, read_secret(context, options.password_file));
  }
  if (totp.empty()) {
    CORDON_ASSIGN(totp, ask(context, "Code: ", false));
  }
  std::erase(totp, ' ');  // as authenticators show it: "123 456"
  CORDON_ASSIGN(
      const json::object answer,
      context.ask_node({{"verb", "login"}, {"user", user}, {"password", password}, {"totp", totp}}));
  if (context.as_json) {
    context.print_json(answer);
    return kOk;
  }
  context.env.out << fmt::format("logged in as {} until {}\n", printable(text(answer, "user")),
                                 local_time(answer, "ends_at"));
  print_reach(context, answer);
  return kOk;
}

}  // namespace

void add_login(CLI::App& program, Context& context) {
  const auto options = std::make_shared<LoginOptions>();
  CLI::App* login_command =
      command(program, "login", "logs you in on this device; asks for password and code",
              "cordon login\n"
              "cordon login --user ann@acme.example --password-file - --totp 123456    # in scripts");
  login_command->add_option("--user", options->user, "your name, like an e-mail address");
  login_command->add_option("--password-file", options->password_file,
                            "file with the password; - is standard input");
  login_command->add_option("--totp", options->totp, "the code that your authenticator shows");
  does(login_command, context, [&context, options] { return login(context, *options); });

  CLI::App* logout_command = command(program, "logout", "ends your session on this device", "cordon logout");
  does(logout_command, context, [&context]() -> Result<int> {
    CORDON_ASSIGN(const json::object answer, context.ask_node({{"verb", "logout"}}));
    if (context.as_json) {
      context.print_json(answer);
    } else {
      context.env.out << "logged out\n";
    }
    return kOk;
  });
}

}  // namespace cordon::cli
