#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"

namespace cordon::cli {
namespace {

struct SignalOptions {
  std::string session, name, lasts;
  int cost = 0;
  bool clear = false;
};

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

Result<int> set_signal(Context& context, const SignalOptions& of, const Wait& wait) {
  const std::string path = "/v1/sessions/" + path_part(of.session) + "/signals";
  if (of.clear)
    return change(context, "DELETE", path + "?name=" + path_part(of.name), {}, wait,
                  fmt::format("\"{}\" counts no more against session {}", of.name, of.session));
  if (of.cost == 0) return fail(ErrorCode::invalid, "--cost says how much the signal takes", "1 to 100");
  json::object body{{"name", of.name}, {"cost", of.cost}};
  std::string until = "while it lasts";
  if (!of.lasts.empty()) {
    CORDON_ASSIGN(const Seconds lasts, parse_duration(of.lasts));
    body["lasts_s"] = lasts.count();
    until = "for " + format_duration(lasts);
  }
  return change(context, "POST", path, std::move(body), wait,
                fmt::format("\"{}\" takes {} from the behaviour of session {}, {}", of.name, of.cost,
                            of.session, until));
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

  const auto of = std::make_shared<SignalOptions>();
  CLI::App* signal_command =
      command(session, "signal", "something that was seen takes from a session's trust, until a time",
              "cordon session signal s-0123456789abcdef \"new country\" --cost 40 --for 8h\n"
              "cordon session signal s-0123456789abcdef \"new country\" --clear");
  signal_command->add_option("SESSION", of->session, "a session's id")->required();
  signal_command->add_option("NAME", of->name, "what was seen; one of the same name goes")->required();
  signal_command->add_option("--cost", of->cost, "percent of the behaviour score that it takes")
      ->check(whole_number(1, 100));
  signal_command->add_option("--for", of->lasts, "how long, such as 8h (default: as long as the session)")
      ->check(check_duration);
  signal_command->add_flag("--clear", of->clear, "it counts no more")->excludes("--cost")->excludes("--for");
  add_wait(signal_command, *wait);
  does(signal_command, context, [&context, of, wait] { return set_signal(context, *of, *wait); });
}

}  // namespace cordon::cli
