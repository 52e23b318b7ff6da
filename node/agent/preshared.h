#pragma once
// The preshared keys that the controller gave this node: one for a pair of WireGuard keys, so it never
// changes and is there before the pair's first handshake. In memory, and in a file 0600 for the time without
// a controller.

#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include "base/bytes.h"
#include "base/result.h"
#include "node/tunnel/tunnel.h"

namespace cordon::wire {
class PresharedKeys;
}

namespace cordon::node {

class PresharedKeys {
 public:
  /// What `file` holds; none is empty. One that others may read is refused.
  static Result<PresharedKeys> open(std::filesystem::path file);

  /// True when one of them is new. Those of own keys that aren't in `own` are forgotten. An error: it is
  /// known and not kept.
  Result<bool> take(const wire::PresharedKeys& message, const std::set<WireguardKey>& own);
  /// Of one of our public keys, by the peers'.
  const PresharedByPeer& of(const WireguardKey& own) const;

 private:
  explicit PresharedKeys(std::filesystem::path file) : file_(std::move(file)) {}
  Result<> save() const;

  std::filesystem::path file_;
  std::map<WireguardKey, PresharedByPeer> keys_;
};

}  // namespace cordon::node
