#include "node/netlink/people_router.h"

#include <fmt/format.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "node/netlink/route_messages.h"

namespace cordon::node::netlink {
namespace {

bool is_in_block(std::uint32_t table, std::uint32_t block) {
  return table >= block && table - block < kTablesInBlock;
}

Result<> read_people_rules(Socket& socket, std::uint8_t family, std::uint32_t block, HeldPeople& held,
                           HeldPeople& former) {
  auto replies = socket.query(rule_dump(family));
  if (!replies) return std::unexpected(to_error(replies.error(), "listing the routing rules"));
  for (const Reply& reply : *replies) {
    if (reply.type != RTM_NEWRULE) continue;
    CORDON_ASSIGN(const auto parsed, parse_rule(reply.payload));
    if (!parsed.by_uid || !is_in_block(parsed.rule.table, block)) continue;
    if (parsed.protocol == kRouteProtocol) held.rules.push_back(parsed.rule);
    if (parsed.protocol == kFormerRouteProtocol) former.rules.push_back(parsed.rule);
  }
  return {};
}

Result<> read_people_routes(Socket& socket, std::uint8_t family, unsigned ifindex, std::uint32_t block,
                            std::uint8_t protocol, std::vector<TableRoute>& out) {
  auto replies = socket.query(route_dump(family, ifindex, kEveryTable, protocol));
  if (!replies) return std::unexpected(to_error(replies.error(), "listing the routes of sessions"));
  for (const Reply& reply : *replies) {
    if (reply.type != RTM_NEWROUTE) continue;
    CORDON_ASSIGN(const auto parsed, parse_route(reply.payload));
    if (parsed.ifindex == ifindex && parsed.protocol == protocol && is_in_block(parsed.table, block))
      out.push_back({.table = parsed.table, .route = parsed.route});
  }
  return {};
}

struct PeopleMessage {
  Message message;
  std::string asked;
  int accepted;  ///< an errno that means that it is so already
};

PeopleMessage people_message(const PeopleStep& step, unsigned ifindex) {
  const auto& [table, route] = step.route;
  const auto uids = [&] { return fmt::format("uids {} to {}", step.rule.uids.first, step.rule.uids.last); };
  switch (step.kind) {
    case PeopleChange::add_rule:
      return {rule_add(step.rule), "adding the routing rule of " + uids(), EEXIST};
    case PeopleChange::remove_rule:
      return {rule_remove(step.rule), "removing the routing rule of " + uids(), ENOENT};
    case PeopleChange::remove_route:
      return {route_remove(ifindex, route, table), "removing a session's route", ESRCH};
    case PeopleChange::add_route:
    case PeopleChange::replace_route:
      break;
  }
  return {route_put(ifindex, route, step.kind == PeopleChange::replace_route, table),
          fmt::format("adding the route of session address {}", route.source.to_string()), 0};
}

/// What an earlier release marked becomes ours, without a moment without it.
Result<std::size_t> take_over(Socket& socket, unsigned ifindex, HeldPeople former, HeldPeople& held) {
  const auto tell = [&](const Message& message, int accepted) -> Result<> {
    const auto done = socket.query(message);
    if (done || done.error().number == accepted) return {};
    return std::unexpected(to_error(done.error(), "taking over what an earlier release routed for people"));
  };
  for (const Rule& rule : former.rules) {
    CORDON_TRY(tell(rule_add(rule), EEXIST));
    CORDON_TRY(tell(rule_remove(rule, kFormerRouteProtocol), ENOENT));
    if (std::ranges::find(held.rules, rule) == held.rules.end()) held.rules.push_back(rule);
  }
  for (const TableRoute& route : former.routes) {
    CORDON_TRY(tell(route_put(ifindex, route.route, true, route.table), 0));
    held.routes.push_back(route);
  }
  return former.rules.size() + former.routes.size();
}

}  // namespace

Result<std::size_t> route_people(Socket& socket, unsigned ifindex, std::string_view interface,
                                 const PeopleRouting& wanted) {
  const std::uint32_t block = table_block(interface);
  HeldPeople held, former;
  for (const std::uint8_t family : {AF_INET, AF_INET6}) {
    CORDON_TRY(read_people_rules(socket, family, block, held, former));
    if (ifindex == 0) continue;
    CORDON_TRY(read_people_routes(socket, family, ifindex, block, kRouteProtocol, held.routes));
    CORDON_TRY(read_people_routes(socket, family, ifindex, block, kFormerRouteProtocol, former.routes));
  }
  CORDON_ASSIGN(std::size_t changes, take_over(socket, ifindex, std::move(former), held));
  CORDON_ASSIGN(const auto steps, plan_people(held, wanted, block));
  for (PeopleStep step : steps) {
    PeopleMessage next = people_message(step, ifindex);
    auto done = socket.query(next.message);
    if (!done && done.error().number == EEXIST && step.kind == PeopleChange::add_route) {
      step.kind = PeopleChange::replace_route;  // somebody else's stands in its place
      next = people_message(step, ifindex);
      done = socket.query(next.message);
    }
    if (!done && done.error().number != next.accepted)
      return std::unexpected(to_error(done.error(), next.asked));
    changes += done.has_value();
  }
  return changes;
}

Result<std::size_t> unroute_people(Socket& socket, std::string_view interface) {
  return route_people(socket, 0, interface, {});
}

}  // namespace cordon::node::netlink
