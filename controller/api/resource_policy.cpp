// The policy in force: as it was written, checked before, applied.
#include <boost/json/value.hpp>

#include "controller/api/policy_admission.h"
#include "controller/api/routes.h"
#include "controller/api/views.h"
#include "controller/core/change_log.h"
#include "controller/core/services.h"

namespace cordon::controller::api {
namespace {

namespace json = boost::json;

void get_policy(Services& services, const Call&, Respond respond) {
  const policy::World& world = services.log.world();
  json::array files;
  for (const SourceFile& file : *world.policy_files) {
    files.push_back(json::object{{"name", file.name}, {"text", file.text}});
  }
  respond(json_reply({{"revision", world.policy_revision.value},
                      {"files", std::move(files)},
                      {"confirm_by", world.pending ? time_or_null(world.pending->confirm_by) : json::value()},
                      {"confirmed_revision", world.pending ? world.pending->confirmed_revision.value
                                                           : world.policy_revision.value}}));
}

void check_policy(Services& services, const Call& call, Respond respond) {
  auto files = files_of(call);
  if (!files) return respond(problem(files.error()));
  parse_aside(services, std::move(*files), [respond](const PolicyInput& input) {
    respond(json_reply({{"ok", input.ok()}, {"diagnostics", views(input.parsed.diagnostics)}}));
  });
}

void apply_policy(Services& services, const Call& call, Respond respond) {
  auto files = files_of(call);
  if (!files) return respond(problem(files.error()));
  put_in_force(services, call, std::move(*files), {}, std::move(respond));
}

}  // namespace

Routes policy_routes() {
  return {
      {.method = "GET",
       .pattern = "/v1/policy",
       .operation = "getPolicy",
       .role = Role::viewer,
       .summary = "The policy in force, as it was written",
       .answer = "Policy",
       .handler = get_policy},
      {.method = "POST",
       .pattern = "/v1/policy/check",
       .operation = "checkPolicy",
       .role = Role::viewer,
       .summary = "Every diagnostic of a policy; nothing changes",
       .body = {files_field()},
       .answer = "PolicyCheck",
       .handler = check_policy},
      {.method = "POST",
       .pattern = "/v1/policy/apply",
       .operation = "applyPolicy",
       .role = Role::engineer,
       .summary = "Puts a policy in force until it is confirmed, or rolled back when nobody does in time; "
                  "422 with all diagnostics when it has an error, 409 while another one waits",
       .body = {files_field(), confirm_within_field(), waiting()},
       .answer = "PolicyApplied",
       .handler = apply_policy}};
}

}  // namespace cordon::controller::api
