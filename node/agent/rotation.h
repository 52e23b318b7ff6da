#pragma once
// This machine's own WireGuard key, and how it turns to another (DATAPATH.md, "WireGuard keys"). When it
// turns the controller says, once all peers know the next key.

#include <set>

#include "base/result.h"
#include "base/time.h"
#include "node/agent/identity.h"
#include "node/agent/preshared.h"
#include "node/tunnel/tunnel.h"

namespace cordon::wire {
class TunnelKeys;
}

namespace cordon::node {

class Rotation {
 public:
  struct Parts {
    const IdentityStore& store;
    Tunnel& tunnel;
    const Clock& clock;
    std::optional<Seconds> every;  ///< a key serves so long; none: until somebody asks
    double early = 0;              ///< 0 to 1: up to a tenth sooner, so that not all machines turn at once
  };
  Rotation(Parts parts, Keys& keys, const PresharedKeys& preshared)
      : parts_(parts), keys_(keys), preshared_(preshared) {}

  /// Gives the tunnel the key: at a start, after the tunnel was made anew, and to end a turn.
  Result<> settle();
  /// A turn that the tunnel doesn't have yet: settle() is to be called, and until then nobody told.
  bool unsettled() const { return keys_.half_turned; }

  /// The key has served its time, and there is no next one yet.
  bool due() const;
  /// Makes and keeps a next key; nothing when there is one.
  Result<> make_next();
  /// The next key takes the place of the one in use, if that is its public half; settle() gives it to the
  /// tunnel. False: it isn't, so nothing is done.
  Result<bool> turn_to(const WireguardKey& next_public);

  void tell(wire::TunnelKeys& out) const;
  WireguardKey own() const;            ///< public, in use
  std::set<WireguardKey> all() const;  ///< the next one too

 private:
  Parts parts_;
  Keys& keys_;
  const PresharedKeys& preshared_;
};

}  // namespace cordon::node
