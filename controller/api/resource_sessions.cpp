#include <fmt/format.h>

#include "controller/api/answers.h"
#include "controller/api/routes.h"
#include "controller/api/views.h"
#include "controller/core/change_log.h"
#include "controller/core/services.h"

namespace cordon::controller::api {
namespace {

void list_sessions(Services& services, const Call& call, Respond respond) {
  const policy::World& world = services.log.world();
  respond(page(call, world.sessions, [&](const policy::Session& session) { return view(session, world); }));
}

void close_session(Services& services, const Call& call, Respond respond) {
  const SessionId id(call.path[0]);
  if (!services.log.world().sessions.contains(id)) {
    return respond(problem(Error{.code = ErrorCode::not_found,
                                 .what = fmt::format("there is no open session \"{}\"", id.value),
                                 .hint = "`cordon session list` shows them"}));
  }
  commit(services, call, kinds::SessionClosed{id, "closed by an operator"}, {}, respond);
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
           .handler = close_session}};
}

}  // namespace cordon::controller::api
