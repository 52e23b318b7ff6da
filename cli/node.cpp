#include <fmt/format.h>

#include "cli/commands.h"

namespace cordon::cli {

void add_node(CLI::App& program, Context& context) {
  CLI::App& node = *family(program, "node", "the daemons that enforce");
  CLI::App* list_command =
      command(node, "list", "who is connected, what each enforces, its alarms", "cordon node list");
  does(list_command, context, [&context] {
    return print_list(
        context, context.list("/v1/nodes"),
        Table({"NODE", "CONNECTED", "FROM", "REVISION", "LAST HEARTBEAT", "LEASES END", "ALARMS"}),
        [](const json::object& node) -> std::vector<std::string> {
          std::string alarms = joined(node, "alarms");
          if (const std::string nack = text(node, "last_nack"); !nack.empty()) {
            alarms += fmt::format("{}refused: {}", alarms.empty() ? "" : ", ", nack);
          }
          return {text(node, "device"),
                  flag(node, "connected") ? "yes" : "no",
                  text(node, "seen_from"),
                  std::to_string(number(node, "acked")),
                  local_time(node, "last_heartbeat"),
                  local_time(node, "leases_end"),
                  alarms};
        },
        "no nodes have been seen");
  });
}

}  // namespace cordon::cli
