#pragma once
// What a caller may ask of flows, and what names in it mean now.

#include "controller/api/route.h"
#include "controller/flows/flow_store.h"
#include "policy/world.h"

namespace cordon::controller::api {

/// Parameters of every list of flows.
Fields flow_filters();

/// `not_found` for a name that nobody and nothing has.
Result<FlowQuery> flow_query(const policy::World& world, const Call& call);

}  // namespace cordon::controller::api
