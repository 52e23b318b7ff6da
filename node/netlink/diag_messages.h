#pragma once
// sock_diag(7) for TCP and UDP: find connected sockets, destroy them. Of MPTCP: find them.

#include <cstdint>
#include <vector>

#include "base/address.h"
#include "node/netlink/message.h"

namespace cordon::node::netlink {

/// A socket as the kernel names it; `id` is its inet_diag_sockid, cookie included.
struct DiagSocket {
  std::uint8_t family = 0;
  std::uint16_t protocol = 0;
  std::uint8_t state = 0;  ///< TCP_ESTABLISHED and so on, for UDP too
  Address local, remote;   ///< v4-mapped ones of AF_INET6 sockets are IPv4
  std::uint16_t local_port = 0, remote_port = 0;
  Bytes id;
};

/// Connected ones only: never a listener, never a UDP socket that is open to all (WireGuard's is such a one).
/// The kernel leaves out those of which no end lies in `within`, unless that is empty. An MPTCP socket has
/// the ends of its first subflow.
Message diag_dump(std::uint8_t family, std::uint16_t protocol, const std::vector<Prefix>& within);
Message diag_destroy(const DiagSocket& socket);
Result<DiagSocket> parse_diag(ByteView payload, std::uint16_t protocol);

}  // namespace cordon::node::netlink
