#include "cli/commands.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <ostream>

namespace cordon::cli {

CLI::App* command(CLI::App& parent, const std::string& name, const std::string& about,
                  const std::string& examples) {
  CLI::App* made = parent.add_subcommand(name, about);
  std::string footer = "Example:";
  std::string_view rest = examples;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    footer += fmt::format("\n  {}", line);
  }
  made->footer(footer);
  return made;
}

CLI::App* family(CLI::App& parent, const std::string& name, const std::string& about) {
  CLI::App* made = parent.add_subcommand(name, about);
  made->require_subcommand(1);
  made->footer(fmt::format("`cordon {} COMMAND --help` tells more, with examples.", name));
  return made;
}

Check whole_number(std::uint64_t least, std::uint64_t most) {
  return [least, most](const std::string& text) -> std::string {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size() && value >= least && value <= most)
      return "";
    return most == INT64_MAX ? fmt::format("\"{}\" is not a whole number from {} on", text, least)
                             : fmt::format("\"{}\" is not a whole number from {} to {}", text, least, most);
  };
}

Check duration_up_to(Seconds most) {
  return [most](const std::string& text) -> std::string {
    const auto duration = parse_duration(text);
    if (!duration) return check_duration(text);
    return *duration <= most
               ? ""
               : fmt::format("\"{}\" is too long; give {} at most", text, format_duration(most));
  };
}

std::string check_duration(const std::string& text) {
  const auto duration = parse_duration(text);
  return duration ? "" : fmt::format("\"{}\" is not a duration; write 90s, 15m, 8h or 30d", text);
}

std::string check_wait(const std::string& text) {
  const auto wait = Wait{text}.seconds();
  return wait ? "" : wait.error().message();
}

std::string check_access(const std::string& text) {
  const auto access = access_of(text);
  return access ? "" : access.error().message();
}

CLI::Option* add_wait(CLI::App* command, Wait& wait) {
  return command->add_option("--wait", wait.text, "wait for nodes' acks, 60s at most; 0: not at all")
      ->check(check_wait);
}

void does(CLI::App* command, Context& context, std::function<Result<int>()> action) {
  command->callback([&context, action = std::move(action)] { context.action = action; });
}

Result<int> print_list(Context& context, const Result<std::vector<json::object>>& list, Table table,
                       const std::function<std::vector<std::string>(const json::object&)>& row,
                       std::string_view when_empty) {
  if (!list) return std::unexpected(list.error());
  for (const json::object& item : *list) {
    if (context.as_json) {
      context.print_json(item);
    } else {
      table.row(row(item));
    }
  }
  if (!context.as_json) table.print(context.env.out, when_empty);
  return kOk;
}

int exit_of_receipts(const json::object& answer) {
  const auto missing = [](const json::value& value) {
    if (!value.is_object()) return false;
    const json::object& receipt = value.get_object();
    return flag(receipt, "connected") && !flag(receipt, "acked") && !flag(receipt, "self");
  };
  return std::ranges::any_of(items(answer, "receipts"), missing) ? kNotAllAcked : kOk;
}

int print_receipts(Context& context, const json::object& answer) {
  Table table({"NODE", "ACK", "AFTER", "LEASES END", "NOTE"});
  for (const json::value& value : items(answer, "receipts")) {
    if (!value.is_object()) continue;
    const json::object& receipt = value.get_object();
    const bool acked = flag(receipt, "acked");
    const std::string nack = text(receipt, "nack");
    std::string note = flag(receipt, "self") ? "the host's own word: not counted" : "";
    if (!nack.empty()) note = fmt::format("refused: {}", nack);
    if (!acked && nack.empty() && !flag(receipt, "connected"))
      note = "not connected: its leases run out by themselves";
    table.row({text(receipt, "device"), acked ? "yes" : "no",
               acked ? fmt::format("{} ms", number(receipt, "after_ms")) : "",
               acked ? "" : local_time(receipt, "leases_end"), note});
  }
  table.print(context.env.out, "no node is concerned");
  const int exit = exit_of_receipts(answer);
  if (exit != kOk)
    context.note("cordon: not every connected node has acked; `cordon receipts REVISION` shows it again");
  return exit;
}

Result<int> change(Context& context, std::string_view method, const std::string& target, json::object body,
                   const Wait& wait, const std::string& done) {
  CORDON_ASSIGN(const Seconds seconds, wait.seconds());
  std::string whole = target;
  if (seconds > Seconds{0}) {
    if (method == "POST") {
      body["wait_s"] = seconds.count();
    } else {
      whole += fmt::format("{}wait_s={}", target.find('?') == std::string::npos ? '?' : '&', seconds.count());
    }
  }
  const bool with_body = !body.empty();
  CORDON_ASSIGN(const json::object answer,
                context.api(method, whole, with_body ? &body : nullptr, seconds + Seconds{30}));
  if (context.as_json) {
    context.print_json(answer);
    return exit_of_receipts(answer);
  }
  context.env.out << fmt::format("{} (revision {})\n", done, number(answer, "revision"));
  for (const json::value& warning : items(answer, "warnings"))
    if (warning.is_string())
      context.note(fmt::format("cordon: warning: {}", std::string(warning.get_string())));
  return seconds > Seconds{0} ? print_receipts(context, answer) : kOk;
}

}  // namespace cordon::cli
