#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"

namespace cordon::cli {

void add_isolation(CLI::App& program, Context& context) {
  const auto host = std::make_shared<std::string>();
  const auto reason = std::make_shared<std::string>();
  const auto wait = std::make_shared<Wait>(Wait{"10s"});

  CLI::App* isolate = command(
      program, "isolate",
      "cuts a host off at every node and by its own guard, and shows each ack; responders still reach it",
      "cordon isolate web --reason \"odd traffic\"\n"
      "cordon isolate web --wait 30s      # status 3: a connected node hasn't acked");
  isolate->add_option("HOST", *host, "the device")->required();
  isolate->add_option("--reason", *reason, "for the audit trail");
  add_wait(isolate, *wait)->capture_default_str();
  does(isolate, context, [&context, host, reason, wait] {
    json::object body;
    if (!reason->empty()) body["reason"] = *reason;
    return change(context, "POST", fmt::format("/v1/devices/{}/isolate", path_part(*host)), std::move(body),
                  *wait, fmt::format("{} is isolated", *host));
  });

  CLI::App* release = command(program, "release", "ends an isolation", "cordon release web");
  release->add_option("HOST", *host, "the device")->required();
  add_wait(release, *wait)->capture_default_str();
  does(release, context, [&context, host, wait] {
    return change(context, "POST", fmt::format("/v1/devices/{}/release", path_part(*host)), {}, *wait,
                  fmt::format("{} is released", *host));
  });
}

}  // namespace cordon::cli
