#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>

#include "cli/commands.h"

namespace cordon::cli {
namespace {

struct NewToken {
  std::vector<std::string> tags;
  std::int64_t uses = 1;
  std::string expires = "1h", ownership, source;
  bool approve = false;
};

Result<int> create(Context& context, const NewToken& asked) {
  CORDON_ASSIGN(const Seconds expires, parse_duration(asked.expires));
  json::array tags;
  for (const std::string& tag : asked.tags) tags.emplace_back(tag);
  json::object body{{"tags", std::move(tags)},
                    {"uses", asked.uses},
                    {"expires_in_s", expires.count()},
                    {"approve", asked.approve}};
  if (!asked.ownership.empty()) body["ownership"] = asked.ownership;
  if (!asked.source.empty()) body["source"] = asked.source;
  CORDON_ASSIGN(const json::object answer, context.api("POST", "/v1/tokens", &body));
  if (context.as_json) {
    context.print_json(answer);
    return kOk;
  }
  context.env.out << text(answer, "token") << '\n';
  context.note(fmt::format("{} for {} device{}, until {}. On the device: cordon-node enrol --token-file -{}",
                           text(answer, "id"), asked.uses, asked.uses == 1 ? "" : "s",
                           local_time(answer, "expires_at"),
                           asked.approve ? "" : "; then here: cordon device approve NAME"));
  return kOk;
}

}  // namespace

void add_token(CLI::App& program, Context& context) {
  CLI::App& token = *family(program, "token", "join tokens, with which devices ask in");
  const auto asked = std::make_shared<NewToken>();
  const auto id = std::make_shared<std::string>();

  CLI::App* create_command =
      command(token, "create", "prints one string: give it to `cordon-node enrol` on the device",
              "cordon token create --tags settlement\n"
              "cordon token create --tags web --uses 5 --expires 8h\n"
              "cordon token create --tags web --approve --source 192.0.2.0/24    # no approval by hand");
  create_command->add_option("--tags", asked->tags, "tags that the device gets, by commas")->delimiter(',');
  create_command->add_option("--uses", asked->uses, "how many devices")
      ->capture_default_str()
      ->check(whole_number(1, 10'000));
  create_command->add_option("--expires", asked->expires, "how long it lives, 30d at most")
      ->capture_default_str()
      ->check(duration_up_to(std::chrono::days{30}));
  create_command->add_option("--ownership", asked->ownership, "company, personal, vendor or partner");
  create_command->add_option("--source", asked->source, "network that the device must enrol from");
  create_command->add_flag("--approve", asked->approve, "waive approval by hand; only with --source");
  does(create_command, context, [&context, asked] { return create(context, *asked); });

  CLI::App* list_command = command(token, "list", "join tokens, without their secrets", "cordon token list");
  does(list_command, context, [&context] {
    return print_list(
        context, context.list("/v1/tokens"),
        Table({"ID", "STATE", "TAGS", "USES LEFT", "EXPIRES", "APPROVAL"}),
        [](const json::object& token) -> std::vector<std::string> {
          return {text(token, "id"),
                  text(token, "state"),
                  joined(token, "tags"),
                  std::to_string(number(token, "uses_left")),
                  local_time(token, "expires_at"),
                  flag(token, "approve") ? fmt::format("waived from {}", text(token, "source")) : "by hand"};
        },
        "no join tokens; `cordon token create` makes one");
  });

  CLI::App* revoke_command =
      command(token, "revoke", "no device gets in with it any more; those that are in stay",
              "cordon token revoke t-0123456789abcdef");
  revoke_command->add_option("ID", *id, "as `cordon token list` shows it")->required();
  does(revoke_command, context, [&context, id] {
    return change(context, "DELETE", "/v1/tokens/" + path_part(*id), {}, {},
                  fmt::format("{} is revoked", *id));
  });
}

}  // namespace cordon::cli
