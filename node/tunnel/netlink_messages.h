#pragma once
// The kernel's WireGuard over generic netlink (linux/wireguard.h) as values: no socket.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "node/netlink/message.h"
#include "node/tunnel/wireguard.h"

namespace cordon::node::wireguard {

netlink::Message netlink_get(std::uint16_t family, unsigned ifindex);

/// A change as one or more messages, to be sent in order; each stays below `limit_bytes` (an attribute's
/// length is 16 bits). A peer whose allowed-IPs don't fit goes on in the next message.
std::vector<netlink::Message> netlink_set(std::uint16_t family, unsigned ifindex, const DeviceChange& change,
                                          std::size_t limit_bytes = 32u << 10);

/// Adds one message of a dump to the state; a peer that began in the message before goes on in this one.
Result<> merge_netlink_get(DeviceState& state, ByteView payload);

}  // namespace cordon::node::wireguard
