#pragma once
// Links, addresses and routes of this host by rtnetlink (libmnl). Idempotent: asked for what is there,
// nothing is written.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/result.h"
#include "base/uids.h"

namespace cordon::node {

struct Link {
  unsigned index = 0;
  std::string name;
  bool up = false;
  bool loopback = false;
  std::uint32_t mtu_bytes = 0;
};

struct OwnAddress {
  Prefix prefix;            ///< host bits may be set
  bool deprecated = false;  ///< preferred lifetime 0: never chosen by itself as a source
  auto operator<=>(const OwnAddress&) const = default;
};

/// A route into an interface with a preferred source.
struct Route {
  Prefix destination;
  Address source;
  auto operator<=>(const Route&) const = default;
};

/// A connected socket of this host, in this network namespace.
struct HostSocket {
  std::uint8_t protocol = 0;  ///< TCP or UDP
  Endpoint local, remote;
  std::uint8_t family = 0, state = 0;  ///< as the kernel names it, for `destroy`
  Bytes id;
  bool multipath = false;  ///< the first subflow of an MPTCP socket, which isn't destroyed with it
};

/// A session, and the addresses that its person's sockets are to have (unspecified: none of that family).
struct SessionRoute {
  std::uint32_t uid = 0;
  Address v4, v6;
  auto operator<=>(const SessionRoute&) const = default;
};

/// Whose packets go into the overlay how; uids that are nobody's go by the main table.
struct PeopleRouting {
  Prefix overlay_v4, overlay_v6;       ///< of an unspecified address: none of that family
  std::vector<Prefix> behind;          ///< subnets behind gateways, into which the way is the same
  std::vector<UidRange> people;        ///< without a session, no way into the overlay
  std::vector<SessionRoute> sessions;  ///< one for a uid
  bool operator==(const PeopleRouting&) const = default;
};

/// What the kernel told since the last time.
struct NetworkChanges {
  bool any = false;
  bool links = false;  ///< came, went or changed, or something was lost
  std::vector<unsigned>
      links_here;  ///< indexes of those that came or changed; not all when something was lost
  explicit operator bool() const { return any; }
};

class Network {
 public:
  virtual ~Network() = default;
  virtual Result<std::vector<Link>> links() const = 0;
  virtual Result<> set_up(unsigned ifindex, std::uint32_t mtu_bytes) = 0;
  /// Exactly these addresses on the interface (link-local ones are left alone).
  virtual Result<> set_addresses(unsigned ifindex, const std::vector<OwnAddress>& wanted) = 0;
  /// This host's own addresses, each with the length of its network, but for 127/8, ::1, link-local ones
  /// and those of the interface `but`; of whatever scope, for the kernel takes packets for all of them.
  virtual Result<std::vector<Prefix>> own_networks(unsigned but) const = 0;
  /// Exactly these routes of ours (protocol 0xcd) into the interface, in the main table, and set_last_routes
  /// of their destinations: while the interface is gone, nothing goes elsewhere.
  virtual Result<> set_routes(unsigned ifindex, const std::vector<Route>& wanted) = 0;
  /// Exactly these rules (by uid) and tables for the interface, changed without a gap; what a former daemon
  /// made for an interface of this name is taken over.
  virtual Result<> set_people(unsigned ifindex, const PeopleRouting& wanted) = 0;
  /// Exactly these destinations are unreachable unless there is another route, in the main table; whether or
  /// not there is an interface of this name, which tells ours from those of other interfaces.
  virtual Result<> set_last_routes(std::string_view interface, const std::vector<Prefix>& wanted) = 0;
  /// None of either of these two, whether or not the interface is still there.
  virtual Result<> remove_routing(std::string_view interface) = 0;
  /// MTU of the route to an underlay address; for the tunnel's MTU (this less 80, at least 1280).
  virtual Result<std::uint32_t> route_mtu(const Address& destination) const = 0;
  /// Connected TCP and UDP sockets of which one end lies in `within` (none named: all); no listener, no UDP
  /// socket that is open to all (WireGuard's is such a one). Any thread may ask, one at a time and not while
  /// another destroys.
  virtual Result<std::vector<HostSocket>> connected_sockets(const std::vector<Prefix>& within) const = 0;
  /// Destroys these (SOCK_DESTROY): whoever waits on one is told at once. How many were still there; the
  /// first that can't be is an error, after the others were tried.
  virtual Result<std::size_t> destroy(const std::vector<HostSocket>& sockets) = 0;
  /// Changes of links, addresses, rules and routes that this has made so far.
  virtual std::uint64_t written() const = 0;
  /// Readable when links, addresses, rules or routes changed; `drain` empties it and says what changed (an
  /// overflow counts as a change).
  virtual int monitor_fd() const = 0;
  virtual NetworkChanges drain() = 0;
};

Result<std::unique_ptr<Network>> open_network();

}  // namespace cordon::node
