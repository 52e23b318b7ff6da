#include "node/netlink/network.h"

#include <fmt/format.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <set>

#include "node/netlink/close_timeout.h"
#include "node/netlink/diag_messages.h"
#include "node/netlink/monitor.h"
#include "node/netlink/people_plan.h"
#include "node/netlink/people_router.h"
#include "node/netlink/route_messages.h"
#include "node/netlink/socket.h"

namespace cordon::node {
namespace {

using netlink::Message;
using netlink::Reply;
using netlink::Socket;

/// Loopback's own, and link-local ones: each host has them. Told by the address, as a service's address may
/// be of any scope.
bool of_one_link(const Address& address) {
  static const std::vector<Prefix> kAll{*Prefix::parse("127.0.0.0/8"), *Prefix::parse("::1"),
                                        *Prefix::parse("169.254.0.0/16"), *Prefix::parse("fe80::/10")};
  return std::ranges::any_of(kAll, [&](const Prefix& prefix) { return prefix.contains(address); });
}

class KernelNetwork final : public Network {
 public:
  KernelNetwork(Socket route, Socket diag, netlink::Monitor monitor)
      : route_(std::move(route)), diag_(std::move(diag)), monitor_(std::move(monitor)) {}

  Result<std::vector<Link>> links() const override {
    CORDON_ASSIGN(auto replies, ask(route_, netlink::link_dump(), "listing the interfaces"));
    std::vector<Link> out;
    for (const Reply& reply : replies) {
      if (reply.type != RTM_NEWLINK) continue;
      CORDON_ASSIGN(auto parsed, netlink::parse_link(reply.payload));
      out.push_back(std::move(parsed.link));
    }
    return out;
  }

  Result<> set_up(unsigned ifindex, std::uint32_t mtu_bytes) override {
    CORDON_ASSIGN(auto link, link_of(ifindex));
    if (link.up && (mtu_bytes == 0 || link.mtu_bytes == mtu_bytes)) return {};
    return tell(netlink::link_set_up(ifindex, mtu_bytes),
                fmt::format("setting interface '{}' up with MTU {}", link.name, mtu_bytes));
  }

  Result<> set_addresses(unsigned ifindex, const std::vector<OwnAddress>& wanted) override {
    CORDON_ASSIGN(auto link, link_of(ifindex));
    CORDON_ASSIGN(auto held, addresses_of(ifindex, link.name));
    const std::set<OwnAddress> want(wanted.begin(), wanted.end());
    // Adding first: a socket or route that may move to a new address finds it.
    for (const OwnAddress& address : want) {
      if (held.contains(address)) continue;
      CORDON_TRY(
          tell(netlink::address_put(ifindex, address),
               fmt::format("adding address {} to interface '{}'", address.prefix.to_string(), link.name)));
    }
    for (const OwnAddress& address : held) {
      const bool stays = std::ranges::any_of(want, [&](const auto& w) { return w.prefix == address.prefix; });
      if (stays) continue;
      CORDON_TRY(
          tell(netlink::address_remove(ifindex, address.prefix),
               fmt::format("removing address {} from interface '{}'", address.prefix.to_string(), link.name),
               EADDRNOTAVAIL));
    }
    return {};
  }

  Result<std::vector<Prefix>> own_networks(unsigned but) const override {
    CORDON_ASSIGN(auto replies, ask(route_, netlink::address_dump(0), "listing the addresses of this host"));
    std::vector<Prefix> out;
    for (const Reply& reply : replies) {
      if (reply.type != RTM_NEWADDR) continue;
      CORDON_ASSIGN(auto parsed, netlink::parse_address(reply.payload));
      if (parsed.ifindex != but && !of_one_link(parsed.address.prefix.address))
        out.push_back(parsed.address.prefix);
    }
    std::ranges::sort(out);
    return out;
  }

  Result<> set_routes(unsigned ifindex, const std::vector<Route>& wanted) override {
    CORDON_ASSIGN(auto link, link_of(ifindex));
    CORDON_ASSIGN(auto held, routes_of(ifindex, link.name));
    const std::set<Route> want(wanted.begin(), wanted.end());
    std::vector<Prefix> destinations;
    for (const Route& route : want) destinations.push_back(route.destination);
    CORDON_TRY(set_last_routes(link.name, destinations));
    const auto same_destination = [](const std::set<Route>& routes, const Route& route) {
      return std::ranges::any_of(routes, [&](const Route& r) { return r.destination == route.destination; });
    };
    for (const Route& route : want) {
      if (held.contains(route)) continue;
      const std::string asked =
          fmt::format("adding route {} with source {} into interface '{}'", route.destination.to_string(),
                      route.source.to_string(), link.name);
      const auto put = [&](bool replace, int accepted) {
        return tell(netlink::route_put(ifindex, route, replace), asked, accepted);
      };
      const std::uint64_t before = written_;
      const bool replaces = same_destination(held, route);
      CORDON_TRY(put(replaces, replaces ? 0 : EEXIST));
      if (written_ == before) CORDON_TRY(put(true, 0));  // somebody else's stands in its place
    }
    for (const Route& route : held) {
      if (same_destination(want, route)) continue;
      CORDON_TRY(
          tell(netlink::route_remove(ifindex, route),
               fmt::format("removing route {} from interface '{}'", route.destination.to_string(), link.name),
               ESRCH));
    }
    return {};
  }

  Result<> set_people(unsigned ifindex, const PeopleRouting& wanted) override {
    CORDON_ASSIGN(auto link, link_of(ifindex));
    CORDON_ASSIGN(const std::size_t steps, netlink::route_people(route_, ifindex, link.name, wanted));
    written_ += steps;
    return {};
  }

  Result<> set_last_routes(std::string_view interface, const std::vector<Prefix>& wanted) override {
    const std::uint32_t metric = netlink::last_metric(interface);
    CORDON_ASSIGN(const auto held, last_routes(metric));
    const std::set<Prefix> want(wanted.begin(), wanted.end());
    for (const Prefix& to : want)
      if (!held.contains(to))
        CORDON_TRY(tell(netlink::unreachable_put(to, metric),
                        fmt::format("adding the last route to {}", to.to_string()), EEXIST));
    for (const Prefix& to : held)
      if (!want.contains(to))
        CORDON_TRY(tell(netlink::unreachable_remove(to, metric),
                        fmt::format("removing the last route to {}", to.to_string()), ESRCH));
    return {};
  }

  Result<> remove_routing(std::string_view interface) override {
    CORDON_ASSIGN(const std::size_t steps, netlink::unroute_people(route_, interface));
    written_ += steps;
    return set_last_routes(interface, {});
  }

  Result<std::uint32_t> route_mtu(const Address& destination) const override {
    const std::string asked = fmt::format("asking for the route to {}", destination.to_string());
    CORDON_ASSIGN(auto replies, ask(route_, netlink::route_get(destination), asked));
    for (const Reply& reply : replies) {
      if (reply.type != RTM_NEWROUTE) continue;
      CORDON_ASSIGN(auto parsed, netlink::parse_route(reply.payload));
      if (parsed.mtu_bytes && *parsed.mtu_bytes != 0) return *parsed.mtu_bytes;
      CORDON_ASSIGN(auto link, link_of(parsed.ifindex));
      return link.mtu_bytes;
    }
    return fail(ErrorCode::protocol, asked + ": no answer");
  }

  Result<std::vector<HostSocket>> connected_sockets(const std::vector<Prefix>& within) const override {
    std::vector<HostSocket> out;
    for (const std::uint8_t protocol : {IPPROTO_TCP, IPPROTO_UDP}) {
      CORDON_TRY(list_sockets(protocol, within, [&](netlink::DiagSocket socket) {
        out.push_back({.protocol = protocol,
                       .local = {socket.local, socket.local_port},
                       .remote = {socket.remote, socket.remote_port},
                       .family = socket.family,
                       .state = socket.state,
                       .id = std::move(socket.id)});
      }));
    }
    // Asked for where something can be done about them; elsewhere the kernel would look for a module each
    // time.
    if (::access(kMptcpCloseTimeout, F_OK) != 0) return out;
    std::set<std::pair<Endpoint, Endpoint>> multipath;
    CORDON_TRY(list_sockets(IPPROTO_MPTCP, within, [&](const netlink::DiagSocket& socket) {
      multipath.insert({{socket.local, socket.local_port}, {socket.remote, socket.remote_port}});
    }));
    for (HostSocket& socket : out)
      socket.multipath = socket.protocol == IPPROTO_TCP && multipath.contains({socket.local, socket.remote});
    return out;
  }

  Result<std::size_t> destroy(const std::vector<HostSocket>& sockets) override {
    std::size_t gone = 0;
    Result<> first;
    for (const HostSocket& socket : sockets) {
      auto destroyed = diag_.query(netlink::diag_destroy(
          {.family = socket.family, .protocol = socket.protocol, .state = socket.state, .id = socket.id}));
      if (destroyed)
        ++gone;
      else if (destroyed.error().number != ENOENT && first)  // ENOENT: it closed by itself meanwhile
        first = std::unexpected(
            to_error(destroyed.error(), fmt::format("destroying the socket {} to {}",
                                                    socket.local.to_string(), socket.remote.to_string())));
    }
    if (!first) return std::unexpected(first.error());
    return gone;
  }

  std::uint64_t written() const override { return written_; }
  int monitor_fd() const override { return monitor_.fd(); }
  NetworkChanges drain() override { return monitor_.drain(); }

 private:
  Result<> list_sockets(std::uint16_t protocol, const std::vector<Prefix>& within,
                        const std::function<void(netlink::DiagSocket)>& take) const {
    for (const std::uint8_t family : {AF_INET, AF_INET6}) {
      auto replies = diag_.query(netlink::diag_dump(family, protocol, within));
      if (!replies && replies.error().number == ENOENT) continue;  // no such protocol in this kernel
      if (!replies) return std::unexpected(to_error(replies.error(), "listing sockets"));
      for (const Reply& reply : *replies) {
        CORDON_ASSIGN(auto socket, netlink::parse_diag(reply.payload, protocol));
        take(std::move(socket));
      }
    }
    return {};
  }

  static Result<std::vector<Reply>> ask(Socket& socket, const Message& message, std::string_view asked) {
    auto replies = socket.query(message);
    if (!replies) return std::unexpected(to_error(replies.error(), asked));
    return *std::move(replies);
  }

  /// `accepted`: an errno that means that it is so already.
  Result<> tell(const Message& message, std::string_view asked, int accepted = 0) {
    auto replies = route_.query(message);
    if (replies) {
      ++written_;
      return {};
    }
    if (accepted != 0 && replies.error().number == accepted) return {};
    return std::unexpected(to_error(replies.error(), asked));
  }

  Result<Link> link_of(unsigned ifindex) const {
    const std::string asked = fmt::format("asking for interface {}", ifindex);
    CORDON_ASSIGN(auto replies, ask(route_, netlink::link_get(ifindex), asked));
    if (replies.empty()) return fail(ErrorCode::protocol, asked + ": no answer");
    CORDON_ASSIGN(auto parsed, netlink::parse_link(replies.front().payload));
    return parsed.link;
  }

  Result<std::set<OwnAddress>> addresses_of(unsigned ifindex, std::string_view name) const {
    CORDON_ASSIGN(auto replies, ask(route_, netlink::address_dump(ifindex),
                                    fmt::format("listing the addresses of interface '{}'", name)));
    std::set<OwnAddress> out;
    for (const Reply& reply : replies) {
      if (reply.type != RTM_NEWADDR) continue;
      CORDON_ASSIGN(auto parsed, netlink::parse_address(reply.payload));
      if (parsed.ifindex == ifindex && !parsed.link_local) out.insert(parsed.address);
    }
    return out;
  }

  Result<std::set<Prefix>> last_routes(std::uint32_t metric) const {
    std::set<Prefix> out;
    for (const std::uint8_t family : {AF_INET, AF_INET6}) {
      auto replies = route_.query(netlink::route_dump(family, 0));
      if (!replies && replies.error().number == ENOENT) continue;  // as below
      if (!replies) return std::unexpected(to_error(replies.error(), "listing the last routes"));
      for (const Reply& reply : *replies) {
        if (reply.type != RTM_NEWROUTE) continue;
        CORDON_ASSIGN(auto parsed, netlink::parse_route(reply.payload));
        if (parsed.unreachable && parsed.metric == metric && parsed.table == RT_TABLE_MAIN &&
            parsed.protocol == netlink::kRouteProtocol)
          out.insert(parsed.route.destination);
      }
    }
    return out;
  }

  Result<std::set<Route>> routes_of(unsigned ifindex, std::string_view name) const {
    std::set<Route> out;
    for (std::uint8_t family : {AF_INET, AF_INET6}) {
      auto replies = route_.query(netlink::route_dump(family, ifindex));
      if (!replies) {
        if (replies.error().number == ENOENT) continue;  // a main table that nothing was ever written to
        return std::unexpected(
            to_error(replies.error(), fmt::format("listing the routes of interface '{}'", name)));
      }
      for (const Reply& reply : *replies) {
        if (reply.type != RTM_NEWROUTE) continue;
        CORDON_ASSIGN(auto parsed, netlink::parse_route(reply.payload));
        if (parsed.ifindex == ifindex && parsed.table == RT_TABLE_MAIN &&
            parsed.protocol == netlink::kRouteProtocol) {
          out.insert(parsed.route);
        }
      }
    }
    return out;
  }

  mutable Socket route_, diag_;  // asking doesn't change what they stand for
  netlink::Monitor monitor_;
  std::uint64_t written_ = 0;
};

}  // namespace

Result<std::unique_ptr<Network>> open_network() {
  CORDON_ASSIGN(auto route, Socket::open(NETLINK_ROUTE));
  CORDON_ASSIGN(auto diag, Socket::open(NETLINK_SOCK_DIAG));
  CORDON_ASSIGN(auto monitor, netlink::Monitor::open());
  return std::make_unique<KernelNetwork>(std::move(route), std::move(diag), std::move(monitor));
}

}  // namespace cordon::node
