// What can't run a daemon, put behind a device that does.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "base/address.h"
#include "cli/commands.h"

namespace cordon::cli {
namespace {

struct BehindAsked {
  std::string name, gateway, ownership;
  std::vector<std::string> prefixes, tags;
};

std::string check_behind_prefix(const std::string& text) {
  const auto prefix = Prefix::parse(text);
  return prefix ? "" : prefix.error().message();
}

json::array behind_texts(const std::vector<std::string>& all) {
  return json::array(all.begin(), all.end());
}

Result<int> add_behind(Context& context, const BehindAsked& asked, const Wait& wait) {
  json::object body{{"device", asked.name},
                    {"gateway", asked.gateway},
                    {"prefixes", behind_texts(asked.prefixes)},
                    {"tags", behind_texts(asked.tags)}};
  if (!asked.ownership.empty()) body["ownership"] = asked.ownership;
  return change(context, "POST", "/v1/devices", std::move(body), wait,
                fmt::format("{} is behind {}", asked.name, asked.gateway));
}

}  // namespace

void add_device_add(CLI::App& device, Context& context) {
  const auto asked = std::make_shared<BehindAsked>();
  const auto wait = std::make_shared<Wait>();
  CLI::App* made =
      command(device, "add", "puts what can't run a daemon (a printer, a subnet) behind a device that does",
              "cordon device add printer --behind gw-1 --prefix 192.168.7.20 --tag print\n"
              "cordon device add plant --behind gw-1 --prefix 10.20.0.0/16 --prefix 2001:db8:20::/48");
  made->add_option("NAME", asked->name, "its name, never used before")->required();
  made->add_option("--behind", asked->gateway, "the device that forwards to it")->required();
  made->add_option("--prefix", asked->prefixes, "where that device reaches it; again for more")
      ->required()
      ->allow_extra_args(false)
      ->check(check_behind_prefix);
  made->add_option("--tag", asked->tags, "that it gets; again for more")->allow_extra_args(false);
  made->add_option("--ownership", asked->ownership, "company, personal, vendor or partner")
      ->check(CLI::IsMember({"company", "personal", "vendor", "partner"}));
  add_wait(made, *wait);
  does(made, context, [&context, asked, wait] { return add_behind(context, *asked, *wait); });
}

}  // namespace cordon::cli
