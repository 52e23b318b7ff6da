// links: cordon_node_lib
// What wireguard-go answers on its socket: any bytes are a state or an error, never a crash; and what is a
// state can be planned from and written back.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "node/tunnel/plan.h"
#include "node/tunnel/uapi.h"

using namespace cordon;
using namespace cordon::node;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view reply(reinterpret_cast<const char*>(data), size);
  (void)wireguard::parse_uapi_set(reply);
  const auto state = wireguard::parse_uapi_get(reply);
  if (!state) return 0;
  const auto status = wireguard::to_status(*state, from_us(1'700'000'000'000'000));
  if (status.size() != state->peers.size()) std::abort();
  const WireguardKey parking{};
  const auto away = wireguard::plan_peers(state->peers, {}, parking);
  if (!away || away->size() != state->peers.size()) std::abort();
  (void)wireguard::uapi_set({.peers = *away});
  return 0;
}
