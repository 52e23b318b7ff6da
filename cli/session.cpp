#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"

namespace cordon::cli {
namespace {

/// A session by its id, or all sessions of a person by name or id.
Result<int> close_sessions(Context& context, const std::string& which, const Wait& wait) {
  CORDON_ASSIGN(const auto sessions, context.list("/v1/sessions"));
  int exit = kOk;
  bool found = false;
  for (const json::object& session : sessions) {
    const std::string id = text(session, "id");
    if (id != which && text(session, "user") != which && text(session, "user_id") != which) continue;
    found = true;
    CORDON_ASSIGN(const int one, change(context, "DELETE", "/v1/sessions/" + path_part(id), {}, wait,
                                        fmt::format("the session of {} on {} is closed",
                                                    text(session, "user"), text(session, "device"))));
    exit = std::max(exit, one);
  }
  if (found) return exit;
  return fail(ErrorCode::not_found,
              fmt::format("there is no open session \"{}\" and none of a person of that name", which),
              "`cordon session list` shows them");
}

}  // namespace

void add_session(CLI::App& program, Context& context) {
  CLI::App& session = *family(program, "session", "who is logged in, where, until when");
  const auto which = std::make_shared<std::string>();
  const auto wait = std::make_shared<Wait>();

  CLI::App* list_command = command(session, "list", "open sessions", "cordon session list");
  does(list_command, context, [&context] {
    return print_list(
        context, context.list("/v1/sessions"),
        Table({"SESSION", "USER", "DEVICE", "SINCE", "ENDS", "ADDRESSES"}),
        [](const json::object& session) -> std::vector<std::string> {
          return {text(session, "id"),
                  text(session, "user"),
                  text(session, "device"),
                  local_time(session, "authenticated_at"),
                  local_time(session, "ends_at"),
                  joined(session, "addresses")};
        },
        "nobody is logged in");
  });

  CLI::App* close_command = command(session, "close", "ends a session; what it has open is cut",
                                    "cordon session close s-0123456789abcdef\n"
                                    "cordon session close ann@acme.example --wait 10s");
  close_command->add_option("SESSION", *which, "a session's id; or a person, for all of theirs")->required();
  add_wait(close_command, *wait);
  does(close_command, context, [&context, which, wait] { return close_sessions(context, *which, *wait); });
}

}  // namespace cordon::cli
