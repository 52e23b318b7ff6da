#include "controller/api/answers.h"
#include "controller/api/routes.h"
#include "controller/api/views.h"
#include "controller/core/change_log.h"
#include "controller/core/services.h"
#include "controller/identity/login.h"

namespace cordon::controller::api {
namespace {

void list_users(Services& services, const Call& call, Respond respond) {
  respond(page(call, services.log.world().users, [](const policy::User& user) { return view(user); }));
}

void add_user(Services& services, const Call& call, Respond respond) {
  const std::string name = call.text("name");
  services.identity->add_user(
      {.name = name, .password = call.text("password")}, call.caller.actor,
      [&services, name, respond](const Result<std::pair<SubjectId, std::string>>& added) {
        if (!added) return respond(problem(added.error()));
        respond(json_reply({{"revision", services.log.world().revision.value},
                            {"id", added->first.value},
                            {"name", name},
                            {"otpauth", added->second}},
                           201));
      });
}

void set_disabled(Services& services, const Call& call, bool disabled, const Respond& respond) {
  const auto user = find_user(services.log.world(), call.path[0]);
  if (!user) return respond(problem(user.error()));
  commit(services, call, kinds::UserDisabled{.user = (*user)->id, .disabled = disabled}, {}, respond);
}

void disable_user(Services& services, const Call& call, Respond respond) {
  set_disabled(services, call, true, respond);
}

void enable_user(Services& services, const Call& call, Respond respond) {
  set_disabled(services, call, false, respond);
}

}  // namespace

Routes user_routes() {
  return {
      {.method = "GET",
       .pattern = "/v1/users",
       .operation = "listUsers",
       .role = Role::viewer,
       .summary = "People, disabled ones too",
       .query = paging(),
       .answer = "User",
       .kind = Body::list,
       .handler = list_users},
      {.method = "POST",
       .pattern = "/v1/users",
       .operation = "addUser",
       .role = Role::admin,
       .summary = "Adds a person who logs in with a password and a one-time code",
       .body =
           {{.name = "name", .about = "like an e-mail address, lowercase", .required = true, .longest = 254},
            {.name = "password", .about = "12 characters at least", .required = true, .longest = 1024}},
       .answer = "UserAdded",
       .status = 201,
       .handler = add_user},
      {.method = "POST",
       .pattern = "/v1/users/{id}/disable",
       .operation = "disableUser",
       .role = Role::admin,
       .summary = "Ends a person's sessions and logins; by id or name",
       .body = {waiting()},
       .answer = "Revision",
       .handler = disable_user},
      {.method = "POST",
       .pattern = "/v1/users/{id}/enable",
       .operation = "enableUser",
       .role = Role::admin,
       .summary = "Lets a disabled person log in again, with the password and the authenticator they had",
       .body = {waiting()},
       .answer = "Revision",
       .handler = enable_user}};
}

}  // namespace cordon::controller::api
