#pragma once
// Holds the kernel's rules and tables to what plan_people wants; the kernel is asked each time, so what a
// former daemon left is adopted or goes.

#include <string_view>

#include "node/netlink/people_plan.h"
#include "node/netlink/socket.h"

namespace cordon::node::netlink {

/// How many changes it took: asked for what is there, nothing is written.
Result<std::size_t> route_people(Socket& socket, unsigned ifindex, std::string_view interface,
                                 const PeopleRouting& wanted);
/// All rules of that interface's block; its tables go with the interface.
Result<std::size_t> unroute_people(Socket& socket, std::string_view interface);

}  // namespace cordon::node::netlink
