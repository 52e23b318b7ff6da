#pragma once
// Which end of a new pair of WireGuard peers begins the handshake, and when: the end whose peer is known to
// hold it already. Of two initiations that cross neither is answered in the end, and one that comes before
// its peer is known is lost; WireGuard tries either again only after 5 s. On the strand.

#include <map>

#include "base/ids.h"

namespace cordon::controller {

class Meetings {
 public:
  /// What it needs of the node sessions.
  class Nodes {
   public:
    virtual ~Nodes() = default;
    /// The node was sent `peer`, and not sent since that it goes.
    virtual bool was_sent(const DeviceId& node, const DeviceId& peer) const = 0;
    virtual void begin(const DeviceId& node, const DeviceId& peer) = 0;
  };
  explicit Meetings(Nodes& nodes) : nodes_(nodes) {}

  /// The node is to be sent a peer that it may not hold.
  void added(const DeviceId& node, const DeviceId& peer, Revision revision);
  void removed(const DeviceId& node, const DeviceId& peer);
  /// What the node acked is enforced up to `ready`, but for what its own flows wait for.
  void acked(const DeviceId& node, Revision ready);
  /// Its session ended. Nodes begin by themselves after a while.
  void gone(const DeviceId& node) { awaited_.erase(node); }

 private:
  bool holds(const DeviceId& node, const DeviceId& peer) const;

  Nodes& nodes_;
  /// By node and peer: its ack is awaited, and the revision that brings the peer.
  std::map<DeviceId, std::map<DeviceId, Revision>> awaited_;
};

}  // namespace cordon::controller
