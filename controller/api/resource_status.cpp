#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/version.h"
#include "controller/api/answers.h"
#include "controller/api/routes.h"
#include "controller/core/change_log.h"
#include "controller/core/config.h"
#include "controller/core/services.h"
#include "controller/pki/authority.h"

namespace cordon::controller::api {
namespace {

void get_status(Services& services, const Call&, Respond respond) {
  const policy::World& world = services.log.world();
  const auto count_devices = [&](auto&& matches) {
    return std::ranges::count_if(world.devices, [&](const auto& entry) { return matches(entry.second); });
  };
  using policy::DeviceState;
  respond(json_reply(
      {{"controller", services.config.name},
       {"version", kVersion},
       {"trust_domain", world.installation.trust_domain},
       {"revision", world.revision.value},
       {"at", format_rfc3339(world.at)},
       {"head", to_hex(world.head)},
       {"policy_revision", world.policy_revision.value},
       {"devices", count_devices([](const policy::Device& d) { return d.state == DeviceState::active; })},
       {"devices_pending",
        count_devices([](const policy::Device& d) { return d.state == DeviceState::pending; })},
       {"devices_isolated",
        count_devices([](const policy::Device& d) { return d.cut_off() && d.state == DeviceState::active; })},
       {"nodes_connected", connected_devices(services).size()},
       {"users", world.users.size()},
       {"sessions", world.sessions.size()},
       {"storage_ok", services.log.storage_is_fresh()},
       {"trust_bundle", services.authority.trust_bundle_pem()},
       {"overlay", boost::json::array{world.installation.overlay_v4.to_string(),
                                      world.installation.overlay_v6.to_string()}}}));
}

void get_health(Services& services, const Call&, Respond respond) {
  const bool fresh = services.log.storage_is_fresh();
  respond(json_reply({{"ok", fresh}}, fresh ? 200 : 503));
}

void get_openapi(Services&, const Call&, Respond respond) {
  static const std::string document = boost::json::serialize(openapi());
  respond(Reply{.body = document});
}

}  // namespace

Routes status_routes() {
  return {{.method = "GET",
           .pattern = "/v1/status",
           .operation = "getStatus",
           .role = Role::viewer,
           .summary = "What this controller holds, in numbers",
           .answer = "Status",
           .handler = get_status},
          {.method = "GET",
           .pattern = "/v1/health",
           .operation = "getHealth",
           .role = Role::anyone,
           .summary = "Whether it can grant anything now: 503 when the log's storage doesn't answer",
           .answer = "Health",
           .handler = get_health},
          {.method = "GET",
           .pattern = "/openapi.json",
           .operation = "getOpenapi",
           .role = Role::anyone,
           .summary = "This description",
           .handler = get_openapi}};
}

}  // namespace cordon::controller::api
