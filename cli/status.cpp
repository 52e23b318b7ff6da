#include <fmt/format.h>

#include <ostream>

#include "cli/commands.h"
#include "cli/reach.h"

namespace cordon::cli {
namespace {

void print_status(Context& context, const json::object& status) {
  const auto line = [&](std::string_view name, const std::string& value) {
    context.env.out << fmt::format("{:<12} {}\n", name, value.empty() ? "-" : printable(value));
  };
  const json::object& controller = part(status, "controller");
  const json::object& state = part(status, "state");
  const json::object& tunnel = part(status, "tunnel");
  const json::object& session = part(status, "session");
  line("device", fmt::format("{}{}", text(status, "device"),
                             flag(status, "isolated") ? " (isolated: cut off from the overlay)" : ""));
  line("controller",
       flag(controller, "connected")
           ? fmt::format("{}, connected since {}", text(controller, "name"), local_time(controller, "since"))
           : fmt::format("not connected; grants end by themselves, the last at {}",
                         local_time(state, "leases_end")));
  line("enforces", fmt::format("revision {}", number(state, "revision")));
  line("tunnel", fmt::format("{} ({}), {} peers", text(tunnel, "interface"), text(tunnel, "backend"),
                             items(tunnel, "peers").size()));
  line("addresses", joined(status, "addresses"));
  line("session", session.empty()
                      ? "nobody; `cordon login` opens one"
                      : fmt::format("{} until {}", text(session, "user"), local_time(session, "ends_at")));
  for (const json::value& alarm : items(status, "alarms")) {
    if (alarm.is_string()) line("ALARM", std::string(alarm.get_string()));
  }
  context.env.out << '\n';
  print_reach(context, status);
}

}  // namespace

void add_status(CLI::App& program, Context& context) {
  CLI::App* made = command(program, "status", "this device: your session, what you may reach, until when",
                           "cordon status\ncordon status --json");
  does(made, context, [&context]() -> Result<int> {
    CORDON_ASSIGN(const json::object status, context.ask_node({{"verb", "status"}}));
    if (context.as_json) {
      context.print_json(status);
    } else {
      print_status(context, status);
    }
    return kOk;
  });
}

}  // namespace cordon::cli
