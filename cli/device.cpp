#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json/array.hpp>
#include <memory>
#include <ostream>
#include <set>

#include "cli/commands.h"

namespace cordon::cli {
namespace {

std::string state_of(const json::object& device) {
  if (flag(device, "isolated")) return "isolated";
  return flag(device, "gateway_isolated") ? "isolated with its gateway" : text(device, "state");
}

/// Overlay addresses; of what is behind a gateway the site's own.
std::string addresses_of(const json::object& device) {
  const std::string gateway = text(device, "gateway");
  return gateway.empty() ? joined(device, "addresses")
                         : fmt::format("{} behind {}", joined(device, "prefixes"), gateway);
}

std::string connected(const json::object& device) {
  if (!text(device, "gateway").empty()) return "";
  return flag(device, "connected") ? "yes" : "no";
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
  line("connected", connected(device));
  line("tags", joined(device, "tags"));
  line("ownership", text(device, "ownership"));
  line("addresses", addresses_of(device));
  if (!text(device, "gateway").empty()) {
    line("added", local_time(device, "enrolled_at"));
    return kOk;
  }
  if (!items(device, "gateway_subnets").empty()) line("forwards to", joined(device, "gateway_subnets"));
  const bool reported = device.contains("checks") && device.at("checks").is_array();
  line("checks", reported && items(device, "checks").empty() ? "none passes" : joined(device, "checks"));
  line("attestation", text(device, "attestation"));
  line("tunnel key",
       text(device, "tunnel_key") + (flag(device, "tunnel_key_turns") ? ", turns to another" : ""));
  line("seen from", text(device, "source"));
  line("platform", text(device, "platform"));
  line("enrolled", fmt::format("{} with {}", local_time(device, "enrolled_at"), text(device, "token")));
  return kOk;
}

/// "+settlement" or "-web".
bool is_tag_change(const std::string& typed) {
  return typed.size() > 1 && (typed[0] == '+' || typed[0] == '-') && typed[1] != '-';
}

/// What changes make of the tags that a device has.
Result<std::set<std::string>> changed_tags(std::set<std::string> tags,
                                           const std::vector<std::string>& changes) {
  for (const std::string& change : changes) {
    const std::string tag = change.substr(1);
    if (change[0] == '+') {
      tags.insert(tag);
    } else if (tags.erase(tag) == 0) {
      return fail(ErrorCode::not_found, fmt::format("the device has no tag \"{}\"", tag),
                  tags.empty() ? "it has none" : fmt::format("it has {}", fmt::join(tags, ", ")));
    }
  }
  return tags;
}

Result<int> tag(Context& context, const std::string& id, const std::vector<std::string>& changes,
                const Wait& wait) {
  const std::string target = "/v1/devices/" + path_part(id);
  CORDON_ASSIGN(const json::object device, context.api("GET", target));
  std::set<std::string> has;
  for (const json::value& item : items(device, "tags")) {
    if (item.is_string()) has.emplace(item.get_string());
  }
  CORDON_ASSIGN(const std::set<std::string> tags, changed_tags(std::move(has), changes));
  const std::string told = tags.empty() ? "has no tags" : fmt::format("is tagged {}", fmt::join(tags, ", "));
  return change(context, "POST", target + "/tags", {{"tags", json::array(tags.begin(), tags.end())}}, wait,
                fmt::format("{} {}", id, told));
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
          return {text(device, "id"), state_of(device), connected(device), joined(device, "tags"),
                  addresses_of(device)};
        },
        "no devices; `cordon token create` makes a token to enrol one");
  });

  does(with_id("show", "one device in full", "cordon device show ledger"), context,
       [&context, id] { return show(context, *id); });

  add_device_add(device, context);

  CLI::App* approve = with_id("approve", "lets a pending device in", "cordon device approve ledger");
  add_wait(approve, *wait);
  does(approve, context, [&context, id, wait] {
    return change(context, "POST", fmt::format("/v1/devices/{}/approve", path_part(*id)), {}, *wait,
                  fmt::format("{} is in", *id));
  });

  CLI::App* tag_command =
      with_id("tag", "gives a device tags and takes tags away", "cordon device tag ledger +settlement -web");
  // "-web" and "-hr" are changes and not rows of options, neither of this command nor of the program.
  tag_command->set_help_flag("--help", "what it does, with examples");
  tag_command->allow_extras();
  tag_command->fallthrough(false);
  tag_command->add_flag("--json", context.as_json, "print data as JSON");
  tag_command->footer(tag_command->get_footer() + "\n\n+TAG gives a tag, -TAG takes it away.");
  add_wait(tag_command, *wait);
  tag_command->callback([&context, id, tag_command, wait] {
    const std::vector<std::string> changes = tag_command->remaining();
    if (changes.empty()) throw CLI::ValidationError("no tag is given, such as +settlement or -web");
    for (const std::string& change : changes) {
      if (!is_tag_change(change))
        throw CLI::ValidationError(
            fmt::format("\"{}\" is no change of a tag; +TAG gives it, -TAG takes it away", change));
    }
    context.action = [&context, id, changes, wait] { return tag(context, *id, changes, *wait); };
  });

  const auto ownership = std::make_shared<std::string>();
  CLI::App* classify = with_id("classify", "sets right whose a device is; policies may ask for it",
                               "cordon device classify trader-laptop company\n"
                               "cordon device classify kiosk unknown");
  classify->add_option("OWNERSHIP", *ownership, "company, personal, vendor, partner or unknown")
      ->required()
      ->check(CLI::IsMember({"company", "personal", "vendor", "partner", "unknown"}));
  add_wait(classify, *wait);
  does(classify, context, [&context, id, ownership, wait] {
    const json::value owner = *ownership == "unknown" ? json::value() : json::value(json::string(*ownership));
    return change(context, "POST", fmt::format("/v1/devices/{}/classify", path_part(*id)),
                  {{"ownership", owner}}, *wait, fmt::format("{} is recorded as {}", *id, *ownership));
  });

  CLI::App* rotate = with_id("rotate", "asks a device for a new WireGuard key; streams go on meanwhile",
                             "cordon device rotate ledger");
  does(rotate, context, [&context, id] {
    return change(context, "POST", fmt::format("/v1/devices/{}/rotate", path_part(*id)), {}, Wait{},
                  fmt::format("{} turns to a new WireGuard key once its peers know it", *id));
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
