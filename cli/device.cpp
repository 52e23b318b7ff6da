#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>

#include "cli/commands.h"

namespace cordon::cli {
namespace {

std::string state_of(const json::object& device) {
  return flag(device, "isolated") ? "isolated" : text(device, "state");
}

Result<int> show(Context& context, const std::string& id) {
  CORDON_ASSIGN(const json::object device, context.api("GET", "/v1/devices/" + path_part(id)));
  if (context.as_json) {
    context.print_json(device);
    return kOk;
  }
  const auto line = [&](std::string_view name, const std::string& value) {
    context.env.out << fmt::format("{:<12} {}\n", name, value.empty() ? "-" : printable(value));
  };
  line("device", text(device, "id"));
  line("state", state_of(device));
  line("connected", flag(device, "connected") ? "yes" : "no");
  line("tags", joined(device, "tags"));
  line("ownership", text(device, "ownership"));
  line("addresses", joined(device, "addresses"));
  line("platform", text(device, "platform"));
  line("enrolled", fmt::format("{} with {}", local_time(device, "enrolled_at"), text(device, "token")));
  return kOk;
}

}  // namespace

void add_device(CLI::App& program, Context& context) {
  CLI::App& device = *family(program, "device", "enrolled machines");
  const auto id = std::make_shared<std::string>();
  const auto reason = std::make_shared<std::string>();
  const auto wait = std::make_shared<Wait>();
  const auto with_id = [&](const std::string& name, const std::string& about, const std::string& examples) {
    CLI::App* made = command(device, name, about, examples);
    made->add_option("NAME", *id, "the device")->required();
    return made;
  };

  CLI::App* list_command = command(device, "list", "all devices and where they stand", "cordon device list");
  does(list_command, context, [&context] {
    return print_list(
        context, context.list("/v1/devices"), Table({"DEVICE", "STATE", "CONNECTED", "TAGS", "ADDRESSES"}),
        [](const json::object& device) -> std::vector<std::string> {
          return {text(device, "id"), state_of(device), flag(device, "connected") ? "yes" : "no",
                  joined(device, "tags"), joined(device, "addresses")};
        },
        "no devices; `cordon token create` makes a token to enrol one");
  });

  does(with_id("show", "one device in full", "cordon device show ledger"), context,
       [&context, id] { return show(context, *id); });

  CLI::App* approve = with_id("approve", "lets a pending device in", "cordon device approve ledger");
  add_wait(approve, *wait);
  does(approve, context, [&context, id, wait] {
    return change(context, "POST", fmt::format("/v1/devices/{}/approve", path_part(*id)), {}, *wait,
                  fmt::format("{} is in", *id));
  });

  CLI::App* remove = with_id("remove", "takes a device away for good; its name is never used again",
                             "cordon device remove ledger --reason \"decommissioned\"");
  remove->add_option("--reason", *reason, "for the audit trail");
  add_wait(remove, *wait);
  does(remove, context, [&context, id, reason, wait] {
    const std::string query = reason->empty() ? "" : "?reason=" + path_part(*reason);
    return change(context, "DELETE", fmt::format("/v1/devices/{}{}", path_part(*id), query), {}, *wait,
                  fmt::format("{} is removed", *id));
  });
}

}  // namespace cordon::cli
