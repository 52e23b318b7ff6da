#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>

#include "cli/commands.h"

namespace cordon::cli {
namespace {

Result<int> why(Context& context, const std::string& target, const std::string& port) {
  CORDON_ASSIGN(const std::string access, access_of(port));
  CORDON_ASSIGN(const json::object answer,
                context.ask_node({{"verb", "why"}, {"target", target}, {"access", access}}));
  const bool allowed = flag(answer, "allowed");
  if (context.as_json) {
    context.print_json(answer);
    return allowed ? kOk : kFailed;
  }
  context.env.out << printable(with_local_times(text(answer, "answer"))) << '\n';
  for (const json::value& mend : items(answer, "mends")) {
    if (mend.is_string()) context.env.out << "  - " << printable(std::string_view(mend.get_string())) << '\n';
  }
  return allowed ? kOk : kFailed;
}

}  // namespace

void add_why(CLI::App& program, Context& context) {
  const auto target = std::make_shared<std::string>();
  const auto port = std::make_shared<std::string>();
  CLI::App* made =
      command(program, "why", "may you reach it? by which rule, until when; or what is missing",
              "cordon why ledger 5432\ncordon why ledger udp/53       # status 0: you may; 1: you may not");
  made->add_option("TARGET", *target, "a device's name or overlay address")->required();
  made->add_option("PORT", *port, "5432, tcp/5432, udp/53, icmp/8 or ping")->required()->check(check_access);
  does(made, context, [&context, target, port] { return why(context, *target, *port); });
}

}  // namespace cordon::cli
