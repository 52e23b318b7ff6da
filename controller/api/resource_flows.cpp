#include <fmt/format.h>

#include <charconv>

#include "controller/api/answers.h"
#include "controller/api/routes.h"
#include "controller/api/views.h"
#include "controller/core/change_log.h"
#include "controller/core/services.h"
#include "controller/flows/flow_store.h"

namespace cordon::controller::api {
namespace {

/// `next` of a page: "MICROSECONDS-ID" of its last record.
Result<FlowPlace> parse_place(std::string_view text) {
  std::int64_t at = 0, id = 0;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, at);
  if (first.ec == std::errc{} && first.ptr != end && *first.ptr == '-') {
    const auto second = std::from_chars(first.ptr + 1, end, id);
    if (second.ec == std::errc{} && second.ptr == end) return FlowPlace{from_us(at), id};
  }
  return fail(ErrorCode::invalid, fmt::format("\"{}\" is no place in the list", text),
              "give `after` the `next` of the page before");
}

void list_flows(Services& services, const Call& call, Respond respond) {
  FlowQuery query{.device = call.text("device"),
                  .kind = call.text("kind"),
                  .limit = static_cast<std::size_t>(call.number("limit", 100))};
  if (const std::string since = call.text("since"); !since.empty())
    query.since = parse_rfc3339(since).value();
  if (const std::string after = call.text("after"); !after.empty()) {
    auto place = parse_place(after);
    if (!place) return respond(problem(place.error()));
    query.before = *place;
  }
  const auto flows = services.flows.query(query);
  if (!flows) return respond(problem(flows.error()));
  boost::json::array items;
  for (const FlowRecord& flow : *flows) items.push_back(view(flow, services.log.world()));
  boost::json::value next;
  if (flows->size() == query.limit) next = fmt::format("{}-{}", to_us(flows->back().at), flows->back().id);
  respond(json_reply({{"items", std::move(items)}, {"next", std::move(next)}}));
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
                     {.name = "kind", .about = "opened, denied, closed or underlay"},
                     {.name = "after", .about = "`next` of the page before"}},
           .answer = "Flow",
           .kind = Body::list,
           .handler = list_flows}};
}

}  // namespace cordon::controller::api
