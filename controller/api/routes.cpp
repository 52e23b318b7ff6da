#include "controller/api/routes.h"

namespace cordon::controller::api {

const Routes& all_routes() {
  static const Routes table = [] {
    Routes all;
    for (const auto resource : {status_routes, policy_routes, policy_life_routes, policy_plan_routes,
                                join_token_routes, device_routes, user_routes, session_routes, node_routes,
                                audit_routes, flow_routes, api_token_routes}) {
      for (Route& route : resource()) all.push_back(std::move(route));
    }
    return all;
  }();
  return table;
}

}  // namespace cordon::controller::api
