#include "node/agent/rotation.h"

#include "proto/cordon.pb.h"

namespace cordon::node {

Result<> Rotation::settle() {
  if (!keys_.half_turned) return parts_.tunnel.set_private_key(keys_.wireguard);
  CORDON_TRY(parts_.tunnel.turn_private_key(keys_.wireguard, preshared_.of(own())));
  CORDON_TRY(parts_.store.forget_next_key());
  keys_.half_turned = false;
  return {};
}

bool Rotation::due() const {
  if (!parts_.every || keys_.next_wireguard || keys_.half_turned) return false;
  const auto serves =
      std::chrono::duration_cast<std::chrono::microseconds>(*parts_.every * (1 - parts_.early / 10));
  return parts_.clock.now() - keys_.wireguard_since >= serves;
}

Result<> Rotation::make_next() {
  if (keys_.next_wireguard || keys_.half_turned) return {};
  const WireguardKey next = crypto::wireguard_generate();
  CORDON_TRY(parts_.store.keep_next_key(next));
  keys_.next_wireguard = next;
  return {};
}

Result<bool> Rotation::turn_to(const WireguardKey& next_public) {
  if (!keys_.next_wireguard || crypto::wireguard_public(*keys_.next_wireguard) != next_public) return false;
  CORDON_TRY(parts_.store.turn_to_key(*keys_.next_wireguard));
  keys_.wireguard = *keys_.next_wireguard;
  keys_.wireguard_since = parts_.clock.now();
  keys_.next_wireguard.reset();
  keys_.half_turned = true;
  return true;
}

void Rotation::tell(wire::TunnelKeys& out) const {
  out.set_public_key(std::string(as_text(own())));
  if (keys_.next_wireguard)
    out.set_next_public_key(std::string(as_text(crypto::wireguard_public(*keys_.next_wireguard))));
}

WireguardKey Rotation::own() const {
  return crypto::wireguard_public(keys_.wireguard);
}

std::set<WireguardKey> Rotation::all() const {
  std::set<WireguardKey> out{own()};
  if (keys_.next_wireguard) out.insert(crypto::wireguard_public(*keys_.next_wireguard));
  return out;
}

}  // namespace cordon::node
