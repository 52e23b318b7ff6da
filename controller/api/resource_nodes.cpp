#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "controller/api/answers.h"
#include "controller/api/routes.h"
#include "controller/api/views.h"
#include "controller/core/change_log.h"
#include "controller/core/services.h"

namespace cordon::controller::api {
namespace {

void list_nodes(Services& services, const Call& call, Respond respond) {
  std::map<DeviceId, NodeStatus> nodes;
  for (NodeStatus& node : services.distribution->nodes()) nodes.emplace(node.device, std::move(node));
  respond(page(call, nodes, [](const NodeStatus& node) { return view(node); }));
}

void get_receipts(Services& services, const Call& call, Respond respond) {
  const std::string& text = call.path[0];
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number == 0) {
    return respond(problem(Error{.code = ErrorCode::invalid,
                                 .what = fmt::format("\"{}\" is not a revision", text.substr(0, 64)),
                                 .hint = "give a whole number from 1"}));
  }
  if (number > services.log.world().revision.value) {
    return respond(
        problem(Error{.code = ErrorCode::not_found,
                      .what = fmt::format("there is no revision {} yet", number),
                      .hint = fmt::format("the last is {}", services.log.world().revision.value)}));
  }
  gather_receipts(services, Revision(number), Seconds{call.number("wait_s", 0)},
                  [number, respond](boost::json::array receipts) {
                    respond(json_reply({{"revision", number}, {"receipts", std::move(receipts)}}));
                  });
}

}  // namespace

Routes node_routes() {
  return {{.method = "GET",
           .pattern = "/v1/nodes",
           .operation = "listNodes",
           .role = Role::viewer,
           .summary = "Nodes: connected or not, what each enforces, its alarms",
           .query = paging(),
           .answer = "Node",
           .kind = Body::list,
           .handler = list_nodes},
          {.method = "GET",
           .pattern = "/v1/revisions/{revision}/receipts",
           .operation = "getReceipts",
           .role = Role::viewer,
           .summary = "Which nodes a revision concerns and where each stands",
           .query = {waiting()},
           .answer = "Receipts",
           .handler = get_receipts}};
}

}  // namespace cordon::controller::api
