#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"

namespace cordon::cli {
namespace {

Result<int> receipts(Context& context, std::uint64_t revision, const Wait& wait) {
  CORDON_ASSIGN(const Seconds seconds, wait.seconds());
  CORDON_ASSIGN(
      const json::object answer,
      context.api("GET", fmt::format("/v1/revisions/{}/receipts?wait_s={}", revision, seconds.count()),
                  nullptr, seconds + Seconds{30}));
  if (!context.as_json) return print_receipts(context, answer);
  for (const json::value& receipt : items(answer, "receipts")) {
    if (receipt.is_object()) context.print_json(receipt.get_object());
  }
  return exit_of_receipts(answer);
}

}  // namespace

void add_receipts(CLI::App& program, Context& context) {
  const auto revision = std::make_shared<std::uint64_t>(0);
  const auto wait = std::make_shared<Wait>();
  CLI::App* made = command(program, "receipts", "which nodes a revision concerns, and when each acked",
                           "cordon receipts 17\ncordon receipts 17 --wait 10s");
  made->add_option("REVISION", *revision, "as every change tells it")->required()->check(whole_number(1));
  add_wait(made, *wait);
  does(made, context, [&context, revision, wait] { return receipts(context, *revision, *wait); });
}

}  // namespace cordon::cli
