#pragma once
// Which rules and routes give each person's sockets their session's address (DATAPATH.md, "Session addresses
// on shared hosts"), and in which order they change so that nobody is anybody else in between.

#include <cstdint>
#include <string_view>
#include <vector>

#include "node/netlink/network.h"
#include "node/netlink/rule_messages.h"

namespace cordon::node::netlink {

/// Tables belong to an interface by its name: stale ones are found when it is gone. The first of its block is
/// in no use; it marks the rules that look nowhere.
std::uint32_t table_block(std::string_view interface);
inline constexpr std::uint32_t kTablesInBlock = 1u << 16;
/// Behind all others, and another for interfaces of other blocks.
std::uint32_t last_metric(std::string_view interface);

struct TableRoute {
  std::uint32_t table = 0;
  Route route;
  auto operator<=>(const TableRoute&) const = default;
};

/// What the kernel has in a block; in any order.
struct HeldPeople {
  std::vector<Rule> rules;
  std::vector<TableRoute> routes;
};

enum class PeopleChange : std::uint8_t { add_rule, remove_rule, add_route, replace_route, remove_route };
struct PeopleStep {
  PeopleChange kind = PeopleChange::add_rule;
  Rule rule;         ///< of a rule's step
  TableRoute route;  ///< of a route's
};

/// First people without a session lose the way, then sessions get theirs, a route before its rule; last goes
/// what nobody wants, a rule before its route. A session keeps its table. `exhausted` past 65,535 sessions.
Result<std::vector<PeopleStep>> plan_people(const HeldPeople& held, const PeopleRouting& wanted,
                                            std::uint32_t block);

}  // namespace cordon::node::netlink
