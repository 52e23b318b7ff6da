// `cordon counters`: packets and bytes by rule and by reason, of all nodes together and of each.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>

#include "cli/commands.h"
#include "cli/flow_lines.h"
#include "cli/flow_options.h"

namespace cordon::cli {
namespace {

struct CounterOptions {
  std::string node;
  bool here = false;
};

struct Counted {
  std::uint64_t packets = 0, bytes = 0;
};

/// What one node counted, or all together.
struct NodeCounters {
  std::map<std::string, Counted> rules, reasons;
  std::uint64_t events_lost = 0;

  void add(const json::object& told) {
    add(rules, items(told, "rules"));
    add(reasons, items(told, "reasons"));
    events_lost += static_cast<std::uint64_t>(number(told, "events_lost"));
  }

 private:
  static void add(std::map<std::string, Counted>& to, const json::array& counts) {
    for (const json::value& count : counts) {
      if (!count.is_object()) continue;
      Counted& counted = to[text(count.get_object(), "name")];
      counted.packets += static_cast<std::uint64_t>(number(count.get_object(), "packets"));
      counted.bytes += static_cast<std::uint64_t>(number(count.get_object(), "bytes"));
    }
  }
};

/// The most packets first.
std::vector<std::pair<std::string, Counted>> in_order(const std::map<std::string, Counted>& counts) {
  std::vector<std::pair<std::string, Counted>> all(counts.begin(), counts.end());
  std::ranges::stable_sort(all, std::greater<>(), [](const auto& count) { return count.second.packets; });
  return all;
}

void add_rows(Table& table, const std::string& node, const NodeCounters& counters) {
  const auto row = [&](const char* counter, const std::string& name, const Counted& counted) {
    table.row({node, counter, name, grouped(counted.packets), bytes_text(counted.bytes)});
  };
  for (const auto& [rule, counted] : in_order(counters.rules)) row("allowed by", rule, counted);
  for (const auto& [reason, counted] : in_order(counters.reasons))
    row(reason.ends_with("observed") ? "let through" : "dropped for", reason, counted);
  table.row({node, "events lost", "", grouped(counters.events_lost), ""});
}

/// `node` null: all together.
void print_lines(Context& context, const json::value& node, const NodeCounters& counters) {
  const auto line = [&](std::string_view counter, const std::string& name, const Counted& counted) {
    context.print_json({{"node", node},
                        {"counter", counter},
                        {"name", name},
                        {"packets", counted.packets},
                        {"bytes", counted.bytes}});
  };
  for (const auto& [rule, counted] : in_order(counters.rules)) line("rule", rule, counted);
  for (const auto& [reason, counted] : in_order(counters.reasons)) line("reason", reason, counted);
  context.print_json({{"node", node}, {"counter", "events_lost"}, {"events", counters.events_lost}});
}

Result<std::vector<json::object>> ask_counters(Context& context, const CounterOptions& options) {
  if (!options.here) {
    auto told = context.list("/v1/counters");
    if (!told) return or_here(context, told.error());
    return told;
  }
  CORDON_ASSIGN(json::object answer, context.ask_node({{"verb", "counters"}}));
  return std::vector<json::object>{std::move(answer)};
}

Result<int> show_counters(Context& context, const CounterOptions& options) {
  CORDON_ASSIGN(const auto told, ask_counters(context, options));
  std::map<std::string, NodeCounters> nodes;
  NodeCounters all;
  for (const json::object& node : told) {
    const std::string name = text(node, "device");
    if (!options.node.empty() && name != options.node) continue;
    nodes[name].add(node);
    all.add(node);
  }
  if (nodes.empty() && !options.node.empty())
    return fail(ErrorCode::not_found, fmt::format("no node \"{}\" has told anything", options.node),
                "`cordon node list` shows them");
  Table table({"NODE", "COUNTED", "NAME", "PACKETS", "BYTES"});
  if (!options.here && options.node.empty()) {
    if (context.as_json) print_lines(context, nullptr, all);
    if (!nodes.empty()) add_rows(table, "(all)", all);
  }
  for (const auto& [name, counters] : nodes) {
    if (context.as_json) print_lines(context, json::value(name), counters);
    add_rows(table, name, counters);
  }
  if (!context.as_json) table.print(context.env.out, "no node has told anything yet");
  return kOk;
}

}  // namespace

void add_counters(CLI::App& program, Context& context) {
  const auto options = std::make_shared<CounterOptions>();
  CLI::App* counters = command(program, "counters",
                               "packets and bytes by rule and by reason, since each node's filter was loaded",
                               "cordon counters\n"
                               "cordon counters --node ledger\n"
                               "sudo cordon counters --here");
  counters->add_option("--node", options->node, "of this node alone");
  counters->add_flag("--here", options->here, "of this device's own node, also without a controller");
  does(counters, context, [&context, options] { return show_counters(context, *options); });
}

}  // namespace cordon::cli
