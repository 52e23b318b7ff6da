#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"

namespace cordon::cli {
namespace {

struct FlowOptions {
  std::string since, device, kind;
  std::size_t limit = 100;
};

std::string end_of(const json::object& flow, const std::string& side) {
  const std::string device = text(flow, side + "_device");
  const std::string address = text(flow, side);
  const std::int64_t port = number(flow, side + "_port");
  return fmt::format("{}{}", device.empty() ? address : device, port > 0 ? fmt::format(":{}", port) : "");
}

Result<int> list_flows(Context& context, const FlowOptions& options) {
  std::string target = fmt::format("/v1/flows?limit={}", options.limit);
  if (!options.since.empty()) {
    std::string since = options.since;
    if (const auto ago = parse_duration(since)) since = format_rfc3339(context.env.now() - *ago);
    target += "&since=" + path_part(since);
  }
  if (!options.device.empty()) target += "&device=" + path_part(options.device);
  if (!options.kind.empty()) target += "&kind=" + path_part(options.kind);
  CORDON_ASSIGN(const json::object answer, context.api("GET", target));
  std::vector<json::object> flows;
  for (const json::value& item : items(answer, "items")) {
    if (item.is_object()) flows.push_back(item.get_object());
  }
  return print_list(
      context, flows, Table({"AT", "KIND", "FROM", "PERSON", "TO", "PROTOCOL", "WHY"}),
      [](const json::object& flow) -> std::vector<std::string> {
        const std::string rule = text(flow, "rule");
        return {local_time(flow, "at"),
                text(flow, "kind"),
                end_of(flow, "source"),
                text(flow, "person"),
                end_of(flow, "destination"),
                text(flow, "protocol"),
                rule.empty() ? text(flow, "reason") : rule};
      },
      "no flows");
}

}  // namespace

void add_flows(CLI::App& program, Context& context) {
  CLI::App& flows = *family(program, "flows", "what was opened, denied and closed");
  const auto options = std::make_shared<FlowOptions>();
  CLI::App* list_command = command(flows, "list", "flows that nodes reported, newest first",
                                   "cordon flows list --since 15m --kind denied");
  list_command->add_option("--since", options->since, "a duration back (15m) or a time (RFC 3339)");
  list_command->add_option("--device", options->device, "as source, destination or reporter");
  list_command->add_option("--kind", options->kind, "opened, denied, closed or underlay");
  list_command->add_option("--limit", options->limit, "how many at most")
      ->capture_default_str()
      ->check(CLI::Range(1, 10'000));
  does(list_command, context, [&context, options] { return list_flows(context, *options); });
}

}  // namespace cordon::cli
