#pragma once
// Turns devices to new WireGuard keys without a break (DATAPATH.md, "WireGuard keys"). On the strand.
//
//   device tells a next key ─▶ OFFERED in the log ─▶ every peer knows it, or has no lease any more
//     ─▶ its peers are told to watch, the device to turn ─▶ device tells it as its key ─▶ CHANGED in the log
//
// What a device tells is told again on each of its sessions, and the log keeps the rest: a controller that
// starts again in the midst goes on where the log stands. A key that a device tells and nobody expected is
// the key all the same: it is what the device uses.

#include <map>
#include <memory>
#include <optional>
#include <set>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/rate_limit.h"
#include "base/time.h"

namespace cordon::policy {
struct Device;
}

namespace cordon::controller {

class ChangeLog;
class Metrics;
struct Proposal;

class KeyRotation : public std::enable_shared_from_this<KeyRotation> {
 public:
  /// What it needs of the node sessions.
  class Nodes {
   public:
    virtual ~Nodes() = default;
    /// Those that hold `device` as a peer.
    virtual std::set<DeviceId> peers_of(const DeviceId& device) const = 0;
    /// The node enforces what concerns it up to `revision`; or it is of a release that knows no next keys; or
    /// its leases have ended.
    virtual bool is_past(const DeviceId& node, Revision revision) const = 0;
    virtual void watch(const DeviceId& node, const DeviceId& turning) = 0;
    virtual void order_next_key(const DeviceId& device) = 0;
    virtual void order_turn(const DeviceId& device, const WireguardKey& to) = 0;
  };
  KeyRotation(ChangeLog& log, Metrics& metrics, const Clock& clock, Nodes& nodes,
              const RateLimitSpec& records);

  /// The keys that a connected device has.
  void told(const DeviceId& device, const WireguardKey& key, const std::optional<WireguardKey>& next);
  /// Its session ended.
  void gone(const DeviceId& device);
  /// Something about the device is another in the log.
  void changed(const DeviceId& device) { due_.insert(device); }
  /// The node acked, or went away.
  void moved_on(const DeviceId& node);
  /// Does what is due; outside of any fold, and every second.
  void run();

 private:
  struct Wait {
    Revision revision;  ///< the offer's, or a later one
    Timestamp since{};
    std::set<DeviceId> peers, waiting;
    std::optional<Timestamp> ordered;
  };
  struct Known {
    WireguardKey key{};
    std::optional<WireguardKey> next;
    bool proposing = false;
    bool asked = false;  ///< for a next key, in this session
    std::optional<Wait> wait;
  };
  void consider(const DeviceId& device, Known& known);
  void wait(const DeviceId& device, Known& known);
  bool neighbour_turns(const Wait& wait) const;
  template <class Kind>
  void propose(const DeviceId& device, Known& known, const Kind& kind);

  ChangeLog& log_;
  Metrics& metrics_;
  const Clock& clock_;
  Nodes& nodes_;
  RateLimiter records_;
  std::map<DeviceId, Known> known_;  ///< of connected devices
  std::set<DeviceId> due_;
  std::map<DeviceId, Timestamp> turning_;  ///< until when no neighbour may turn
};

}  // namespace cordon::controller
