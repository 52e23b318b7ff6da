// `cordon flows` and `cordon drops`: who reached what, who was kept from it and why; once, or as it happens.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <ostream>

#include "cli/commands.h"
#include "cli/flow_lines.h"
#include "cli/flow_options.h"
#include "node/filter/reasons.h"

namespace cordon::cli {
namespace {

constexpr std::chrono::milliseconds kFirstPause{1'000}, kLongestPause{10'000};

/// Writes flows as lines, each at once.
class FlowPrinter {
 public:
  FlowPrinter(Context& context, bool drops)
      : context_(context), drops_(drops), table_(drops ? drop_header() : flow_header()) {}

  /// Those that have a line of their own: JSON has what each end told, people read of a flow once.
  void keep_lines(std::vector<json::object>& flows) {
    if (!context_.as_json)
      std::erase_if(flows, [this](const json::object& flow) { return !once_.first(flow); });
  }

  void print(const std::vector<json::object>& flows) {
    std::vector<std::vector<std::string>> rows;
    for (const json::object& flow : flows) {
      if (context_.as_json)
        context_.print_json(flow);
      else
        rows.push_back(drops_ ? drop_row(flow) : flow_row(flow));
    }
    table_.print(context_.env.out, rows);
    context_.env.out.flush();
  }

 private:
  Context& context_;
  const bool drops_;
  GrowingTable table_;
  SeenOnce once_;
};

/// Until the person has enough (Ctrl-C) or nobody reads any more. A daemon that is away is waited for: the
/// place in the list outlives its restart.
Result<int> follow_flows(Context& context, FlowSource& source, FlowPrinter& printer) {
  auto pause = kFirstPause;
  bool away = false;
  while (context.env.out) {
    auto flows = source.next();
    if (!flows) {
      if (!std::exchange(context.unreachable, false) && flows.error().code != ErrorCode::unavailable)
        return std::unexpected(flows.error());
      if (!std::exchange(away, true))
        context.env.err << fmt::format("cordon: {}; trying again\n", printable(flows.error().what));
      if (!context.env.pause(pause)) return kOk;
      pause = std::min(2 * pause, kLongestPause);
      continue;
    }
    if (std::exchange(away, false)) context.env.err << "cordon: it is back\n";
    pause = kFirstPause;
    if (const std::uint64_t missed = source.missed())
      context.env.err << fmt::format("cordon: {} flows went by unseen\n", grouped(missed));
    const bool none = flows->empty();
    printer.keep_lines(*flows);
    printer.print(*flows);
    // Who is answered without any may be one follower too many; a second later is soon enough.
    if (none && !context.env.pause(kFirstPause)) return kOk;
  }
  return kOk;
}

Result<int> show_flows(Context& context, const FlowOptions& options, bool drops) {
  CORDON_ASSIGN(const auto source, make_flow_source(context, options));
  FlowPrinter printer(context, drops);
  // Both ends may have told of each.
  auto flows = source->latest(context.as_json ? options.limit : 2 * options.limit);
  if (!flows) return options.here ? std::unexpected(flows.error()) : or_here(context, flows.error());
  printer.keep_lines(*flows);
  if (flows->size() > options.limit)
    flows->erase(flows->begin(), flows->end() - static_cast<std::ptrdiff_t>(options.limit));
  printer.print(*flows);
  if (options.follow) return follow_flows(context, *source, printer);
  if (flows->empty()) context.note(drops ? "nothing was dropped" : "no flows");
  return kOk;
}

std::string check_reason(const std::string& text) {
  if (std::ranges::find(node::kReasonNames, text) != node::kReasonNames.end()) return "";
  std::string all;
  for (const std::string_view name : node::kReasonNames)
    if (!name.empty()) all += fmt::format("{}{}", all.empty() ? "" : ", ", name);
  return fmt::format("\"{}\" is no reason; there are {}", text, all);
}

std::string check_since(const std::string& text) {
  if (parse_duration(text) || parse_rfc3339(text)) return "";
  return fmt::format("\"{}\" is neither a duration (15m) nor a time (2026-01-05T10:00:00Z)", text);
}

void add_flow_options(CLI::App* command, const std::shared_ptr<FlowOptions>& options) {
  command->add_flag("-f,--follow", options->follow, "go on with what happens, until Ctrl-C");
  command->add_option("--from", options->from, "who: a person, a device or an address");
  command->add_option("--to", options->to, "what: a segment, segment/service, a device or an address");
  command->add_option("--rule", options->rule, "that decided");
  command->add_option("--reason", options->reason, "why: \"no grant\", ...")->check(check_reason);
  command->add_option("--since", options->since, "a duration back (15m) or a time (RFC 3339)")
      ->check(check_since);
  command->add_option("--device", options->device, "as source, destination or reporter");
  command->add_option("--limit", options->limit, "the last so many at most")
      ->capture_default_str()
      ->check(whole_number(1, 100'000));
  command->add_flag("--here", options->here, "what this device's own node saw, also without a controller");
}

}  // namespace

void add_flows(CLI::App& program, Context& context) {
  const auto options = std::make_shared<FlowOptions>();
  CLI::App* flows = command(program, "flows", "who reached what: opened, ended with its bytes, denied",
                            "cordon flows --since 15m --to settlement/ledger\n"
                            "cordon flows --follow --from ann@acme.example\n"
                            "cordon --json flows --follow | collector\n"
                            "sudo cordon flows --here");
  add_flow_options(flows, options);
  flows->add_option("--verdict", options->verdict, "allowed, denied, or observed (denied, but let through)")
      ->check(CLI::IsMember({"allowed", "denied", "observed"}));
  flows->add_option("--kind", options->kind, "opened, denied, closed or underlay")
      ->check(CLI::IsMember({"opened", "denied", "closed", "underlay"}));
  does(flows, context, [&context, options] { return show_flows(context, *options, false); });
}

void add_drops(CLI::App& program, Context& context) {
  const auto options = std::make_shared<FlowOptions>();
  options->verdict = "denied";
  CLI::App* drops = command(program, "drops", "who was kept from what, by which node, and why",
                            "cordon drops --follow\n"
                            "cordon drops --since 1h --from clerk --reason \"no grant\"\n"
                            "sudo cordon drops --here");
  add_flow_options(drops, options);
  does(drops, context, [&context, options] { return show_flows(context, *options, true); });
}

}  // namespace cordon::cli
