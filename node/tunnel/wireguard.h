#pragma once
// A WireGuard interface as both backends see it: what it holds, and what is to change.

#include <cstdint>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/result.h"
#include "node/tunnel/tunnel.h"

namespace cordon::node::wireguard {

/// Of the last handshake, on the wall clock; both 0: never.
struct HandshakeTime {
  std::int64_t seconds = 0;
  std::int64_t nanoseconds = 0;
  bool operator==(const HandshakeTime&) const = default;
};

struct PeerState {
  WireguardKey public_key{};
  std::optional<Endpoint> endpoint;
  std::vector<Prefix> allowed_ips;
  std::uint16_t keepalive_s = 0;
  HandshakeTime last_handshake;
  std::uint64_t received_bytes = 0, sent_bytes = 0;
  WireguardKey preshared_key{};  ///< all zeros: none
  bool operator==(const PeerState&) const = default;
};

/// Private keys are never read back.
struct DeviceState {
  std::uint16_t listen_port = 0;
  std::uint32_t firewall_mark = 0;
  std::vector<PeerState> peers;
  bool operator==(const DeviceState&) const = default;
};

/// One peer added, changed in the fields that are set, or removed.
struct PeerChange {
  WireguardKey public_key{};
  bool remove = false;
  bool update_only = false;                   ///< one that isn't there any more is not made again
  std::optional<WireguardKey> preshared_key;  ///< all zeros: none from now on
  std::optional<Endpoint> endpoint;
  std::optional<std::uint16_t> keepalive_s;
  std::vector<Prefix>
      add_allowed_ips;  ///< one that another peer holds moves at once, never missing in between
  bool operator==(const PeerChange&) const = default;
};

/// Applied in order: device first, then peers one by one; a peer may come twice.
struct DeviceChange {
  std::optional<WireguardKey> private_key;
  std::optional<std::uint16_t> listen_port;
  std::optional<std::uint32_t> firewall_mark;
  std::vector<PeerChange> peers;
  bool empty() const { return !private_key && !listen_port && !firewall_mark && peers.empty(); }
};

/// The protocol to one interface: generic netlink or UAPI.
class Device {
 public:
  virtual ~Device() = default;
  virtual Result<DeviceState> read() = 0;
  virtual Result<> write(const DeviceChange& change) = 0;
};

}  // namespace cordon::node::wireguard
