#pragma once
// The node's WireGuard interface, whichever backend carries it.

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"

namespace cordon::node {

enum class Backend { automatic, kernel, userspace };

struct TunnelConfig {
  Backend backend = Backend::automatic;
  bool allow_fallback = false;  ///< may go from kernel to userspace on a machine that used kernel before
  std::string interface;        ///< at most 15 characters, holds the instance's name
  std::uint16_t listen_port = 51820;
  std::filesystem::path state_directory;  ///< remembers which backend was used
  std::filesystem::path run_directory;    ///< wireguard-go's pid file
  std::string wireguard_go = "wireguard-go";
  std::uint32_t firewall_mark = 0;
};

struct Peer {
  WireguardKey public_key{};
  std::vector<Prefix> allowed_ips;
  std::optional<Endpoint> endpoint;  ///< none: leave what the tunnel knows
  /// None: leave what the tunnel has, which for a new peer is off. One that begins says so at once, and
  /// begins a handshake where there is no session.
  std::optional<std::uint16_t> keepalive_s = 25;
  WireguardKey preshared_key{};              ///< all zeros: none
  std::optional<WireguardKey> successor_of;  ///< when this peer is new: it is where that one was heard last
};

/// Preshared keys by the peer's key.
using PresharedByPeer = std::map<WireguardKey, WireguardKey>;

struct PeerStatus {
  WireguardKey public_key{};
  std::optional<Endpoint> endpoint;
  std::vector<Prefix> allowed_ips;
  std::optional<Seconds> handshake_age;  ///< none: never
  std::uint64_t received_bytes = 0, sent_bytes = 0;
};

class Tunnel {
 public:
  virtual ~Tunnel() = default;
  virtual Backend backend() const = 0;
  virtual unsigned ifindex() const = 0;
  virtual Result<> set_private_key(const WireguardKey& key) = 0;
  /// The same while peers are talked to: they get the preshared keys of the new key (others lose theirs) and,
  /// in the same call, a keepalive that makes them hear of it at once. What waits to be sent waits for that
  /// handshake and isn't lost; what comes under the old key is still taken.
  virtual Result<> turn_private_key(const WireguardKey& key, const PresharedByPeer& preshared) = 0;
  /// Makes the tunnel hold exactly these peers: what is equal is not touched, allowed-IPs that move between
  /// peers are never missing, a peer's endpoint is kept unless one is given and differs.
  virtual Result<> set_peers(const std::vector<Peer>& wanted) = 0;
  /// In one step: peers that are there get their allowed-IPs, whoever has them now, and their keepalive.
  virtual Result<> move_allowed_ips(const std::vector<Peer>& to) = 0;
  virtual Result<std::vector<PeerStatus>> peers() const = 0;
  /// Is the interface (and wireguard-go behind it) alive? Restarts a dead wireguard-go; true when it had to,
  /// and then key, peers, addresses and filter are to be set again.
  virtual Result<bool> supervise() = 0;
  /// Takes the interface away. A destructor never does: the tunnel outlives the daemon.
  virtual Result<> remove() = 0;
};

/// Makes or adopts the interface.
Result<std::unique_ptr<Tunnel>> open_tunnel(const TunnelConfig& config);

}  // namespace cordon::node
