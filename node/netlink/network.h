#pragma once
// Links, addresses and routes of this host by rtnetlink (libmnl). Idempotent: asked for what is there,
// nothing is written.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"

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

class Network {
 public:
  virtual ~Network() = default;
  virtual Result<std::vector<Link>> links() const = 0;
  virtual Result<> set_up(unsigned ifindex, std::uint32_t mtu_bytes) = 0;
  /// Exactly these addresses on the interface (link-local ones are left alone).
  virtual Result<> set_addresses(unsigned ifindex, const std::vector<OwnAddress>& wanted) = 0;
  /// Exactly these routes of ours (protocol 0xc0) into the interface, in the main table.
  virtual Result<> set_routes(unsigned ifindex, const std::vector<Route>& wanted) = 0;
  /// MTU of the route to an underlay address; for the tunnel's MTU (this less 80, at least 1280).
  virtual Result<std::uint32_t> route_mtu(const Address& destination) const = 0;
  /// Destroys this host's sockets that match (SOCK_DESTROY): a connected socket with that local or remote
  /// overlay address; never a listener. How many went.
  virtual Result<std::size_t> destroy_sockets(const Address& local, const Address& remote,
                                              std::uint8_t protocol, std::uint16_t local_port,
                                              std::uint16_t remote_port) = 0;
  /// Readable when links, addresses or routes changed; `drain` empties it and says whether anything changed
  /// (an overflow counts as a change).
  virtual int monitor_fd() const = 0;
  virtual bool drain() = 0;
};

Result<std::unique_ptr<Network>> open_network();

}  // namespace cordon::node
