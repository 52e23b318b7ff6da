#include <fmt/format.h>

#include <algorithm>

#include "controller/api/answers.h"
#include "controller/api/routes.h"
#include "controller/api/views.h"
#include "controller/core/change_log.h"
#include "controller/core/services.h"

namespace cordon::controller::api {
namespace {

constexpr std::size_t kMostRaisedSignals = 32;  ///< of one session; its record may hold 64
constexpr std::int64_t kLongestSignalSeconds = std::int64_t{30} * 24 * 3600;

void list_sessions(Services& services, const Call& call, Respond respond) {
  const policy::World& world = services.log.world();
  respond(page(call, world.sessions, [&](const policy::Session& session) { return view(session, world); }));
}

Result<const policy::Session*> find_session(const Services& services, const Call& call) {
  const auto& sessions = services.log.world().sessions;
  const auto found = sessions.find(SessionId(call.path[0]));
  if (found != sessions.end()) return &found->second;
  return fail(ErrorCode::not_found, fmt::format("there is no open session \"{}\"", call.path[0]),
              "`cordon session list` shows them");
}

void close_session(Services& services, const Call& call, Respond respond) {
  const auto session = find_session(services, call);
  if (!session) return respond(problem(session.error()));
  commit(services, call, kinds::SessionClosed{(*session)->id, "closed by an operator"}, {}, respond);
}

/// The signals of a session that count still, but for the one of that name.
std::vector<policy::Signal> other_signals(const policy::Session& session, const std::string& name,
                                          Timestamp now) {
  std::vector<policy::Signal> out = session.signals;
  std::erase_if(out, [&](const policy::Signal& s) { return s.name == name || s.until <= now; });
  return out;
}

/// P6: what takes from trust, until when. One of the same name goes.
void raise_signal(Services& services, const Call& call, Respond respond) {
  const auto session = find_session(services, call);
  if (!session) return respond(problem(session.error()));
  const Timestamp now = services.clock.now();
  const std::string name = call.text("name");
  if (name.empty())
    return respond(problem(Error{.code = ErrorCode::invalid, .what = "\"name\" is empty", .hint = {}}));
  kinds::SessionSignals all{(*session)->id, other_signals(**session, name, now)};
  if (all.signals.size() >= kMostRaisedSignals) {
    return respond(
        problem(Error{.code = ErrorCode::conflict,
                      .what = fmt::format("the session has {} signals already", all.signals.size()),
                      .hint = "clear one"}));
  }
  const std::int64_t lasts_s = call.number("lasts_s", 0);
  all.signals.push_back({.name = name,
                         .cost = static_cast<int>(call.number("cost", 0)),
                         .until = lasts_s == 0 ? kNever : now + Seconds(lasts_s)});
  commit(services, call, all, {}, respond);
}

void clear_signal(Services& services, const Call& call, Respond respond) {
  const auto session = find_session(services, call);
  if (!session) return respond(problem(session.error()));
  const std::string name = call.text("name");
  if (std::ranges::find((*session)->signals, name, &policy::Signal::name) == (*session)->signals.end()) {
    return respond(problem(Error{.code = ErrorCode::not_found,
                                 .what = fmt::format("the session has no signal \"{}\"", name),
                                 .hint = "`cordon session list --json` shows them"}));
  }
  commit(services, call,
         kinds::SessionSignals{(*session)->id, other_signals(**session, name, services.clock.now())}, {},
         respond);
}

Field signal_name() {
  return {.name = "name",
          .about = "what was seen, such as \"new country\"; one of the same name goes",
          .required = true,
          .longest = 63};
}

}  // namespace

Routes session_routes() {
  return {{.method = "GET",
           .pattern = "/v1/sessions",
           .operation = "listSessions",
           .role = Role::viewer,
           .summary = "Who is logged in, where, until when",
           .query = paging(),
           .answer = "Session",
           .kind = Body::list,
           .handler = list_sessions},
          {.method = "DELETE",
           .pattern = "/v1/sessions/{id}",
           .operation = "closeSession",
           .role = Role::operator_,
           .summary = "Ends a session; what it has open is cut",
           .query = {waiting()},
           .answer = "Revision",
           .handler = close_session},
          {.method = "POST",
           .pattern = "/v1/sessions/{id}/signals",
           .operation = "raiseSignal",
           .role = Role::operator_,
           .summary = "Something about a session takes from its trust, until a time",
           .body = {signal_name(),
                    {.name = "cost",
                     .type = Type::integer,
                     .about = "percent of the behaviour score that it takes",
                     .required = true,
                     .minimum = 1,
                     .maximum = 100},
                    {.name = "lasts_s",
                     .type = Type::integer,
                     .about = "seconds (default: as long as the session)",
                     .minimum = 1,
                     .maximum = kLongestSignalSeconds},
                    waiting()},
           .answer = "Revision",
           .handler = raise_signal},
          {.method = "DELETE",
           .pattern = "/v1/sessions/{id}/signals",
           .operation = "clearSignal",
           .role = Role::operator_,
           .summary = "The signal of that name counts no more",
           .query = {signal_name(), waiting()},
           .answer = "Revision",
           .handler = clear_signal}};
}

}  // namespace cordon::controller::api
