// What nodes reported: flows in the order of time, flows as they come, and what nodes counted.
#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <charconv>

#include "controller/api/answers.h"
#include "controller/api/flow_input.h"
#include "controller/api/routes.h"
#include "controller/api/views.h"
#include "controller/core/change_log.h"
#include "controller/core/services.h"
#include "controller/flows/flows.h"

namespace cordon::controller::api {
namespace {

constexpr std::int64_t kLongestFollow = 30;  // seconds
// For a page: what is rare is searched for in steps, so that others are answered between them.
constexpr std::size_t kMostLookedAt = 200'000;

Fields flow_list_fields() {
  Fields fields = flow_filters();
  fields.push_back({.name = "limit",
                    .type = Type::integer,
                    .about = "how many at most (default 100)",
                    .minimum = 1,
                    .maximum = 1'000});
  fields.push_back({.name = "after", .about = "`next` of the answer before"});
  return fields;
}

Fields follow_fields() {
  Fields fields = flow_list_fields();
  fields.push_back({.name = "wait_s",
                    .type = Type::integer,
                    .about = "how long to wait for the next one (default 0)",
                    .minimum = 0,
                    .maximum = kLongestFollow});
  return fields;
}

Error no_place(std::string_view text) {
  return {ErrorCode::invalid, fmt::format("\"{}\" is no place in the list", text),
          "give `after` the `next` of the answer before"};
}

/// `next` of a page: "MICROSECONDS-ID" of its last record.
Result<FlowPlace> parse_place(std::string_view text) {
  std::int64_t at = 0, id = 0;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, at);
  if (first.ec == std::errc{} && first.ptr != end && *first.ptr == '-') {
    const auto second = std::from_chars(first.ptr + 1, end, id);
    if (second.ec == std::errc{} && second.ptr == end) return FlowPlace{from_us(at), id};
  }
  return std::unexpected(no_place(text));
}

/// On the strand, as names of people are the world's.
void answer_flows(Services& services, const std::vector<FlowRecord>& flows, boost::json::value next,
                  const Respond& respond) {
  boost::json::array items;
  items.reserve(flows.size());
  for (const FlowRecord& flow : flows) items.push_back(view(flow, services.log.world()));
  respond(json_reply({{"items", std::move(items)}, {"next", std::move(next)}}));
}

struct FlowPage {
  std::vector<FlowRecord> flows;
  std::optional<FlowPlace> next;
};

Result<FlowPage> page_of(FlowStore& store, FlowQuery query) {
  if (query.filters()) {
    CORDON_ASSIGN(query.until, store.place_behind(query, kMostLookedAt));
  }
  FlowPage page{.next = query.until};
  CORDON_ASSIGN(page.flows, store.query(query));
  if (page.flows.size() == query.limit) page.next = {page.flows.back().at, page.flows.back().id};
  return page;
}

void list_flows(Services& services, const Call& call, Respond respond) {
  auto query = flow_query(services.log.world(), call);
  if (!query) return respond(problem(query.error()));
  if (const std::string after = call.text("after"); !after.empty()) {
    auto place = parse_place(after);
    if (!place) return respond(problem(place.error()));
    query->before = *place;
  }
  services.flows.read([&services, query = std::move(*query), respond](FlowStore& store) {
    boost::asio::post(services.strand, [&services, page = page_of(store, query), respond] {
      if (!page) return respond(problem(page.error()));
      boost::json::value next;
      if (page->next) next = fmt::format("{}-{}", to_us(page->next->at), page->next->id);
      answer_flows(services, page->flows, std::move(next), respond);
    });
  });
}

/// Without a place: the place behind the last record.
void begin_to_follow(Services& services, const Respond& respond) {
  services.flows.read([&services, respond](FlowStore& store) {
    boost::asio::post(services.strand, [last = store.last_id(), respond] {
      if (!last) return respond(problem(last.error()));
      respond(json_reply({{"items", boost::json::array()}, {"next", std::to_string(*last)}}));
    });
  });
}

void follow_flows(Services& services, const Call& call, Respond respond) {
  auto query = flow_query(services.log.world(), call);
  if (!query) return respond(problem(query.error()));
  const std::string after = call.text("after");
  if (after.empty()) return begin_to_follow(services, respond);
  std::int64_t id = 0;
  const auto [end, error] = std::from_chars(after.data(), after.data() + after.size(), id);
  if (error != std::errc{} || end != after.data() + after.size() || id < 0)
    return respond(problem(no_place(after)));
  const Seconds wait{call.number("wait_s", 0)};
  services.flows.follow(std::move(*query), id, wait, [&services, respond](Result<FlowsAfter> found) {
    boost::asio::post(services.strand, [&services, found = std::move(found), respond] {
      if (!found) return respond(problem(found.error()));
      answer_flows(services, found->flows, std::to_string(found->last).c_str(), respond);
    });
  });
}

void list_counters(Services& services, const Call& call, Respond respond) {
  std::map<DeviceId, NodeStatus> nodes;
  for (NodeStatus& node : services.distribution->nodes()) nodes.emplace(node.device, std::move(node));
  const CounterViews names(services.log.world());
  respond(page(call, nodes, [&names](const NodeStatus& node) { return names.view(node); }));
}

}  // namespace

Routes flow_routes() {
  return {
      {.method = "GET",
       .pattern = "/v1/flows",
       .operation = "listFlows",
       .role = Role::auditor,
       .summary =
           "Flows that nodes reported, newest first. A page may hold less than its limit; without `next` "
           "it is the last",
       .query = flow_list_fields(),
       .answer = "Flow",
       .kind = Body::list,
       .handler = list_flows},
      {.method = "GET",
       .pattern = "/v1/flows/follow",
       .operation = "followFlows",
       .role = Role::auditor,
       .summary = "Flows in the order they arrive: those behind `after`, or the next to come. Without "
                  "`after` no flow, and a `next` to begin with; `next` is never null and outlives restarts",
       .query = follow_fields(),
       .answer = "Flow",
       .kind = Body::list,
       .handler = follow_flows},
      {.method = "GET",
       .pattern = "/v1/counters",
       .operation = "listCounters",
       .role = Role::viewer,
       .summary = "What each node counted by rule and by reason since its filter was loaded",
       .query = paging(),
       .answer = "NodeCounters",
       .kind = Body::list,
       .handler = list_counters}};
}

}  // namespace cordon::controller::api
