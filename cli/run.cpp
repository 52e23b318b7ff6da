#include "cli/run.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <ostream>

#include "base/version.h"
#include "cli/commands.h"

namespace cordon::cli {
namespace {

constexpr const char* kFooter = R"(On a device:                cordon login, status, why ledger 5432, logout
                            cordon flows, drops, counters with --here (as root: of everybody)
On the controller as root:  all other commands, over its UNIX socket
From elsewhere:             with --server, --token-file and --ca

Exit status: 0 done; 1 refused or failed; 2 wrong usage; 3 a connected node has not acked; 4 the daemon can't be reached.
`cordon COMMAND --help` tells more about a command, with examples.)";

void add_options(CLI::App& program, Context& context) {
  program.add_flag("--json", context.as_json, "print data as JSON: one compact object, or one a line");
  program.add_option("--socket", context.target.socket, "the controller's admin socket")
      ->envname("CORDON_SOCKET")
      ->default_val("/run/cordon/controller/admin.sock");
  program.add_option("--server", context.target.server, "a controller's address, https://HOST:PORT")
      ->envname("CORDON_SERVER");
  program.add_option("--token-file", context.target.token_file, "file with your API token, for --server")
      ->envname("CORDON_TOKEN_FILE");
  program
      .add_option("--ca", context.target.ca_file,
                  "the controller's authority (PEM), for --server and audit verify FILE")
      ->envname("CORDON_CA");
  program.add_option("--node-socket", context.node_socket, "the socket of this device's node")
      ->envname("CORDON_NODE_SOCKET")
      ->default_val("/run/cordon/node/node.sock");
  program.set_version_flag("--version", fmt::format("cordon {}", kVersion), "print the version");
}

void print_error(Context& context, const Error& error) {
  std::string what;
  for (auto it = error.context.rbegin(); it != error.context.rend(); ++it) what += fmt::format("{}: ", *it);
  what += error.what;
  // A policy's diagnostics come on lines of their own.
  std::string shown;
  for (std::string_view rest = what; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    shown += fmt::format("{}{}", shown.empty() ? "" : "\n  ", printable(line));
  }
  context.env.err << "cordon: " << shown;
  // What is said of several lines doesn't belong to the last.
  const bool lines = what.find('\n') != std::string::npos;
  if (!error.hint.empty()) context.env.err << (lines ? "\ncordon: " : "; ") << printable(error.hint);
  context.env.err << '\n';
}

/// The deepest command that was named, for "see `cordon token create --help`".
std::string named(const CLI::App& program) {
  std::string path = "cordon";
  const CLI::App* app = &program;
  while (!app->get_subcommands().empty()) {
    app = app->get_subcommands().front();
    path += fmt::format(" {}", app->get_name());
  }
  return path;
}

int usage(CLI::App& program, Context& context, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) {  // --help, --version
    std::ostream& out = context.env.out;
    program.exit(error, out, out);
    return kOk;
  }
  std::string what = error.what();
  if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
    const std::vector<std::string> rest = program.remaining(true);
    if (!rest.empty()) {
      what = fmt::format("unknown command or option \"{}\"", rest.front());
    } else if (what == "A subcommand is required") {
      what = "a command is missing";
    }
  }
  std::ranges::replace(what, '\n', ' ');
  while (!what.empty() && (what.back() == ' ' || what.back() == '.')) what.pop_back();
  context.env.err << fmt::format("cordon: {}; see `{} --help`\n", printable(what), named(program));
  return kUsage;
}

}  // namespace

int run(std::vector<std::string> arguments, Environment& environment) {
  Context context(environment);
  CLI::App program("cordon: who may reach what, and proof of it", "cordon");
  program.fallthrough();
  program.require_subcommand(1);
  program.footer(kFooter);
  add_options(program, context);
  for (const auto add : {add_login, add_status, add_why, add_policy, add_token, add_device, add_isolation,
                         add_user, add_session, add_node, add_receipts, add_audit, add_flows, add_drops,
                         add_counters, add_api_token, add_ca}) {
    add(program, context);
  }
  std::ranges::reverse(arguments);  // as CLI11 takes them
  try {
    program.parse(arguments);
  } catch (const CLI::ParseError& error) {
    return usage(program, context, error);
  }
  const Result<int> done = context.action();
  environment.out.flush();
  if (!environment.out) {
    environment.err << "cordon: can't write to standard output\n";
    return kFailed;
  }
  if (done) return *done;
  print_error(context, done.error());
  return context.unreachable ? kUnreachable : kFailed;
}

}  // namespace cordon::cli
