// cordon-node: the enforcement point on every host.

#include <CLI/CLI.hpp>
#include <csignal>

#include "node/agent/commands.h"

namespace {

using cordon::node::CommandOptions;

std::string check_duration(const std::string& text) {
  const auto duration = cordon::parse_duration(text);
  return duration ? std::string{} : duration.error().message();
}

CLI::App* add(CLI::App& app, const std::string& name, const std::string& help, CommandOptions& options) {
  CLI::App* command = app.add_subcommand(name, help);
  command->add_option("--config", options.config, "the node's configuration")
      ->default_val("/etc/cordon/node.toml");
  command->add_option(
      "--user", options.user,
      "as root: prepare the directories for this user and become it, keeping three capabilities");
  return command;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  CommandOptions options;
  std::string wait;
  CLI::App app(
      "Cordon's node: enforces who may reach what on this host.\n"
      "Exit codes: 0 done, 1 failed, 2 refused (usage, configuration, privileges, token).");
  app.require_subcommand(1);
  CLI::App* enrol =
      add(app, "enrol", "join a controller with a token made by `cordon token create`", options);
  enrol->add_option("--token-file", options.token_file, "the token's file (0600), or - for standard input")
      ->required();
  enrol->add_option("--wait", wait, "wait so long for an operator's approval, such as 60s")
      ->check(check_duration);
  CLI::App* run =
      add(app, "run", "the daemon; SIGTERM ends it and leaves filter and tunnel in force", options);
  CLI::App* guard =
      add(app, "guard", "at boot, before the network: isolate or guard this host as before", options);
  CLI::App* check = add(app, "check", "look at the configuration and at what this machine can do", options);
  CLI::App* uninstall = add(app, "uninstall", "take filter, pins, tunnel and routes away", options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;  // --help is no error
  }
  if (const auto duration = cordon::parse_duration(wait); duration) options.wait = *duration;
  if (enrol->parsed()) return cordon::node::run_enrol(options);
  if (run->parsed()) return cordon::node::run_daemon(options);
  if (guard->parsed()) return cordon::node::run_guard(options);
  if (check->parsed()) return cordon::node::run_check(options);
  return uninstall->parsed() ? cordon::node::run_uninstall(options) : 2;
}
