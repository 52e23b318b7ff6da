#pragma once
// Generic netlink: families are found by name.

#include <cstdint>
#include <string_view>

#include "node/netlink/socket.h"

namespace cordon::node::netlink {

Message family_request(std::string_view name);
/// The family's message type in a CTRL_CMD_NEWFAMILY reply.
Result<std::uint16_t> parse_family(ByteView payload);
/// `unavailable` when the kernel has no such family.
Result<std::uint16_t> find_family(Socket& socket, std::string_view name);

}  // namespace cordon::node::netlink
