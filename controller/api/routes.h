#pragma once
// All routes, gathered from the resources; one function per file resource_*.cpp.

#include <vector>

#include "controller/api/route.h"

namespace cordon::controller::api {

using Routes = std::vector<Route>;

Routes status_routes();
Routes policy_routes();
Routes policy_life_routes();
Routes policy_plan_routes();
Routes join_token_routes();
Routes device_routes();
Routes user_routes();
Routes session_routes();
Routes node_routes();
Routes audit_routes();
Routes flow_routes();
Routes api_token_routes();

/// The table, made once.
const Routes& all_routes();

/// The OpenAPI 3.1 document of the table.
boost::json::object openapi();

}  // namespace cordon::controller::api
