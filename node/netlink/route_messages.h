#pragma once
// rtnetlink requests and replies (rtnetlink(7)) as values: no socket, no state.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/address.h"
#include "node/netlink/message.h"
#include "node/netlink/network.h"

namespace cordon::node::netlink {

/// The protocol that marks rules and routes as ours (rtm_protocol): nobody else's by linux/rtnetlink.h,
/// iproute2's rt_protos or FRR's. The one of releases before is EIGRP's.
inline constexpr std::uint8_t kRouteProtocol = 0xcd, kFormerRouteProtocol = 0xc0;

std::uint8_t family_of(const Address& address);
/// A prefix as a header's length and an attribute say it (none: the zero address).
Result<Prefix> prefix_of(std::uint8_t family, std::optional<ByteView> payload, unsigned length);

Message link_dump();
Message link_get(std::string_view name);
Message link_get(unsigned ifindex);
/// Up, and that MTU (0: leave it).
Message link_set_up(unsigned ifindex, std::uint32_t mtu_bytes);
Message link_create(std::string_view name, std::string_view kind);
Message link_delete(unsigned ifindex);

Message address_dump(unsigned ifindex);
/// Added, or its lifetimes changed in place. No prefix route comes with it: routes are set by themselves.
Message address_put(unsigned ifindex, const OwnAddress& address);
Message address_remove(unsigned ifindex, const Prefix& prefix);

inline constexpr std::uint32_t kEveryTable = 0, kMainTable = 254;  ///< RT_TABLE_UNSPEC, RT_TABLE_MAIN

/// Of that protocol in that table, of one family (AF_INET, AF_INET6), into the interface (0: any) where the
/// kernel can filter.
Message route_dump(std::uint8_t family, unsigned ifindex, std::uint32_t table = kMainTable,
                   std::uint8_t protocol = kRouteProtocol);
/// `replace`: the one of the same destination (and metric) is changed in place; else it must not exist.
Message route_put(unsigned ifindex, const Route& route, bool replace, std::uint32_t table = kMainTable);
Message route_remove(unsigned ifindex, const Route& route, std::uint32_t table = kMainTable);
Message route_get(const Address& destination);
/// "Unreachable", of ours in the main table; a high metric puts it behind all others of the destination.
Message unreachable_put(const Prefix& destination, std::uint32_t metric);
Message unreachable_remove(const Prefix& destination, std::uint32_t metric);

struct LinkReply {
  Link link;
  std::string kind;  ///< IFLA_INFO_KIND: "wireguard", "tun", "veth", ...; "" for hardware
};
Result<LinkReply> parse_link(ByteView payload);

struct AddressReply {
  unsigned ifindex = 0;
  bool link_local = false;  ///< scope link: the kernel's own
  OwnAddress address;
};
Result<AddressReply> parse_address(ByteView payload);

struct RouteReply {
  std::uint32_t table = 0;
  std::uint8_t protocol = 0;
  bool unreachable = false;
  std::uint32_t metric = 0;
  unsigned ifindex = 0;                    ///< 0: several next hops or none
  std::optional<std::uint32_t> mtu_bytes;  ///< the route's own or learned one
  Route route;
};
Result<RouteReply> parse_route(ByteView payload);

}  // namespace cordon::node::netlink
