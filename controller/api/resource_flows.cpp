#include "controller/api/answers.h"
#include "controller/api/routes.h"
#include "controller/api/views.h"
#include "controller/core/change_log.h"
#include "controller/core/services.h"
#include "controller/flows/flow_store.h"

namespace cordon::controller::api {
namespace {

void list_flows(Services& services, const Call& call, Respond respond) {
  FlowQuery query{.device = call.text("device"),
                  .kind = call.text("kind"),
                  .limit = static_cast<std::size_t>(call.number("limit", 100))};
  if (const std::string since = call.text("since"); !since.empty())
    query.since = parse_rfc3339(since).value();
  const auto flows = services.flows.query(query);
  if (!flows) return respond(problem(flows.error()));
  boost::json::array items;
  for (const FlowRecord& flow : *flows) items.push_back(view(flow, services.log.world()));
  respond(json_reply({{"items", std::move(items)}, {"next", nullptr}}));
}

}  // namespace

Routes flow_routes() {
  return {{.method = "GET",
           .pattern = "/v1/flows",
           .operation = "listFlows",
           .role = Role::auditor,
           .summary = "Flows that nodes reported, newest first",
           .query = {{.name = "limit",
                      .type = Type::integer,
                      .about = "how many at most (default 100)",
                      .minimum = 1,
                      .maximum = 10'000},
                     {.name = "since", .type = Type::time, .about = "from this time on (RFC 3339)"},
                     {.name = "device", .about = "as source, destination or reporter"},
                     {.name = "kind", .about = "opened, denied, closed or underlay"}},
           .answer = "Flow",
           .kind = Body::list,
           .handler = list_flows}};
}

}  // namespace cordon::controller::api
