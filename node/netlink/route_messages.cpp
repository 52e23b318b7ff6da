#include "node/netlink/route_messages.h"

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

namespace cordon::node::netlink {
namespace {

constexpr std::uint32_t kForever = 0xffffffff;
constexpr std::uint32_t kByteTables = 256;  ///< tables below fit the header

Message link_request(std::uint16_t type, std::uint16_t flags, unsigned ifindex, unsigned set_flags = 0) {
  Message message(type, static_cast<std::uint16_t>(NLM_F_REQUEST | flags));
  ifinfomsg header{};
  header.ifi_index = static_cast<int>(ifindex);
  header.ifi_flags = set_flags;
  header.ifi_change = set_flags;
  message.put_header(header);
  return message;
}

Message unreachable_request(std::uint16_t type, std::uint16_t flags, const Prefix& destination,
                            std::uint32_t metric) {
  Message message(type, static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags));
  rtmsg header{};
  header.rtm_family = family_of(destination.address);
  header.rtm_dst_len = static_cast<std::uint8_t>(destination.length());
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = kRouteProtocol;
  header.rtm_scope = RT_SCOPE_UNIVERSE;
  header.rtm_type = RTN_UNREACHABLE;
  message.put_header(header);
  message.put(RTA_DST, destination.address.raw());
  message.put_u32(RTA_PRIORITY, metric);
  return message;
}

Message route_request(std::uint16_t type, std::uint16_t flags, unsigned ifindex, const Route& route,
                      std::uint32_t table) {
  Message message(type, static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags));
  const bool v4 = route.destination.address.is_v4();
  rtmsg header{};
  header.rtm_family = v4 ? AF_INET : AF_INET6;
  header.rtm_dst_len = static_cast<std::uint8_t>(route.destination.length());
  header.rtm_table = static_cast<std::uint8_t>(table < kByteTables ? table : RT_TABLE_UNSPEC);
  header.rtm_protocol = kRouteProtocol;
  header.rtm_scope = v4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;  // IPv6 has no scopes of routes
  header.rtm_type = RTN_UNICAST;
  message.put_header(header);
  message.put(RTA_DST, route.destination.address.raw());
  if (!route.source.is_unspecified()) message.put(RTA_PREFSRC, route.source.raw());
  if (table >= kByteTables) message.put_u32(RTA_TABLE, table);
  message.put_u32(RTA_OIF, ifindex);
  return message;
}

}  // namespace

std::uint8_t family_of(const Address& address) {
  return address.is_v4() ? AF_INET : AF_INET6;
}

Result<Prefix> prefix_of(std::uint8_t family, std::optional<ByteView> payload, unsigned length) {
  const unsigned width = family == AF_INET ? 32 : 128;
  if (length > width) return fail(ErrorCode::protocol, "netlink prefix is too long");
  // The zero address of a default route is not sent.
  const Bytes zero(width / 8);
  CORDON_ASSIGN(auto address, Address::from_bytes(payload.value_or(ByteView(zero))));
  if (address.is_v4() != (family == AF_INET))
    return fail(ErrorCode::protocol, "netlink address of another family");
  return Prefix{address, static_cast<std::uint8_t>(128 - width + length)};
}

Message link_dump() {
  return link_request(RTM_GETLINK, NLM_F_DUMP, 0);
}

Message link_get(std::string_view name) {
  Message message = link_request(RTM_GETLINK, NLM_F_ACK, 0);
  message.put_text(IFLA_IFNAME, name);
  return message;
}

Message link_get(unsigned ifindex) {
  return link_request(RTM_GETLINK, NLM_F_ACK, ifindex);
}

Message link_set_up(unsigned ifindex, std::uint32_t mtu_bytes) {
  Message message = link_request(RTM_NEWLINK, NLM_F_ACK, ifindex, IFF_UP);
  if (mtu_bytes != 0) message.put_u32(IFLA_MTU, mtu_bytes);
  return message;
}

Message link_create(std::string_view name, std::string_view kind) {
  Message message = link_request(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 0);
  message.put_text(IFLA_IFNAME, name);
  const auto info = message.begin_nest(IFLA_LINKINFO);
  message.put(IFLA_INFO_KIND, as_bytes(kind));
  message.end_nest(info);
  return message;
}

Message link_delete(unsigned ifindex) {
  return link_request(RTM_DELLINK, NLM_F_ACK, ifindex);
}

Message address_dump(unsigned ifindex) {
  Message message(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP);
  ifaddrmsg header{};
  header.ifa_index = ifindex;
  message.put_header(header);
  return message;
}

Message address_put(unsigned ifindex, const OwnAddress& address) {
  Message message(RTM_NEWADDR, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
  const Address& own = address.prefix.address;
  const std::uint32_t flags = IFA_F_NOPREFIXROUTE | (own.is_v4() ? 0u : IFA_F_NODAD);
  ifaddrmsg header{};
  header.ifa_family = family_of(own);
  header.ifa_prefixlen = static_cast<std::uint8_t>(address.prefix.length());
  header.ifa_flags = static_cast<std::uint8_t>(flags);  // the low byte; IFA_FLAGS has them all
  header.ifa_scope = RT_SCOPE_UNIVERSE;
  header.ifa_index = ifindex;
  message.put_header(header);
  message.put(IFA_LOCAL, own.raw());
  message.put_u32(IFA_FLAGS, flags);
  message.put(IFA_ADDRESS, own.raw());
  ifa_cacheinfo lifetimes{};
  lifetimes.ifa_prefered = address.deprecated ? 0 : kForever;
  lifetimes.ifa_valid = kForever;
  message.put(IFA_CACHEINFO, {reinterpret_cast<const std::uint8_t*>(&lifetimes), sizeof lifetimes});
  return message;
}

Message address_remove(unsigned ifindex, const Prefix& prefix) {
  Message message(RTM_DELADDR, NLM_F_REQUEST | NLM_F_ACK);
  ifaddrmsg header{};
  header.ifa_family = family_of(prefix.address);
  header.ifa_prefixlen = static_cast<std::uint8_t>(prefix.length());
  header.ifa_index = ifindex;
  message.put_header(header);
  message.put(IFA_LOCAL, prefix.address.raw());
  message.put(IFA_ADDRESS, prefix.address.raw());
  return message;
}

Message route_dump(std::uint8_t family, unsigned ifindex, std::uint32_t table, std::uint8_t protocol) {
  Message message(RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP);
  rtmsg header{};
  header.rtm_family = family;
  header.rtm_table = static_cast<std::uint8_t>(table);
  header.rtm_protocol = protocol;
  message.put_header(header);
  if (ifindex != 0) message.put_u32(RTA_OIF, ifindex);
  return message;
}

Message route_put(unsigned ifindex, const Route& route, bool replace, std::uint32_t table) {
  return route_request(RTM_NEWROUTE, NLM_F_CREATE | (replace ? NLM_F_REPLACE : NLM_F_EXCL), ifindex, route,
                       table);
}

Message route_remove(unsigned ifindex, const Route& route, std::uint32_t table) {
  return route_request(RTM_DELROUTE, 0, ifindex, route, table);
}

Message unreachable_put(const Prefix& destination, std::uint32_t metric) {
  return unreachable_request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, destination, metric);
}

Message unreachable_remove(const Prefix& destination, std::uint32_t metric) {
  return unreachable_request(RTM_DELROUTE, 0, destination, metric);
}

Message route_get(const Address& destination) {
  Message message(RTM_GETROUTE, NLM_F_REQUEST | NLM_F_ACK);
  rtmsg header{};
  header.rtm_family = family_of(destination);
  header.rtm_dst_len = destination.is_v4() ? 32 : 128;
  message.put_header(header);
  message.put(RTA_DST, destination.raw());
  return message;
}

Result<LinkReply> parse_link(ByteView payload) {
  ByteView rest;
  CORDON_ASSIGN(auto header, take_header<ifinfomsg>(payload, rest));
  CORDON_ASSIGN(auto attributes, Attributes::parse(rest));
  LinkReply out;
  out.link = {.index = static_cast<unsigned>(header.ifi_index),
              .name = attributes.text(IFLA_IFNAME),
              .up = (header.ifi_flags & IFF_UP) != 0,
              .loopback = (header.ifi_flags & IFF_LOOPBACK) != 0,
              .mtu_bytes = attributes.u32(IFLA_MTU).value_or(0)};
  if (auto info = attributes.find(IFLA_LINKINFO)) {
    CORDON_ASSIGN(auto inner, Attributes::parse(*info));
    out.kind = inner.text(IFLA_INFO_KIND);
  }
  return out;
}

Result<AddressReply> parse_address(ByteView payload) {
  ByteView rest;
  CORDON_ASSIGN(auto header, take_header<ifaddrmsg>(payload, rest));
  CORDON_ASSIGN(auto attributes, Attributes::parse(rest));
  // On a point-to-point link IFA_ADDRESS is the other end and IFA_LOCAL our own.
  const auto local = attributes.find(IFA_LOCAL);
  CORDON_ASSIGN(auto prefix, prefix_of(header.ifa_family, local ? local : attributes.find(IFA_ADDRESS),
                                       header.ifa_prefixlen));
  const std::uint32_t flags = attributes.u32(IFA_FLAGS).value_or(header.ifa_flags);
  return AddressReply{.ifindex = header.ifa_index,
                      .link_local = header.ifa_scope == RT_SCOPE_LINK,
                      .address = {.prefix = prefix, .deprecated = (flags & IFA_F_DEPRECATED) != 0}};
}

Result<RouteReply> parse_route(ByteView payload) {
  ByteView rest;
  CORDON_ASSIGN(auto header, take_header<rtmsg>(payload, rest));
  CORDON_ASSIGN(auto attributes, Attributes::parse(rest));
  RouteReply out{.table = attributes.u32(RTA_TABLE).value_or(header.rtm_table),
                 .protocol = header.rtm_protocol,
                 .unreachable = header.rtm_type == RTN_UNREACHABLE,
                 .metric = attributes.u32(RTA_PRIORITY).value_or(0),
                 .ifindex = attributes.u32(RTA_OIF).value_or(0),
                 .mtu_bytes = std::nullopt,
                 .route = {}};
  CORDON_ASSIGN(out.route.destination,
                prefix_of(header.rtm_family, attributes.find(RTA_DST), header.rtm_dst_len));
  if (auto source = attributes.find(RTA_PREFSRC)) {
    CORDON_ASSIGN(out.route.source, Address::from_bytes(*source));
  }
  if (auto metrics = attributes.find(RTA_METRICS)) {
    CORDON_ASSIGN(auto inner, Attributes::parse(*metrics));
    out.mtu_bytes = inner.u32(RTAX_MTU);
  }
  return out;
}

}  // namespace cordon::node::netlink
