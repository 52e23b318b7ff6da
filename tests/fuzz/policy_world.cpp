// links: cordon_policy
// Bytes choose a world and questions: the compiled tables of both ends say what evaluate() says (I2).

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "policy/compile.h"
#include "tests/support/world_gen.h"

namespace {

using namespace cordon;

/// The next choice is the next byte; past the end everything is 0.
test::Pick from_bytes(const std::uint8_t* data, std::size_t size) {
  return [data, size, at = std::size_t{0}](std::uint32_t n) mutable -> std::uint32_t {
    std::uint32_t value = at < size ? data[at++] : 0;
    if (n > 256) value = value << 8 | (at < size ? data[at++] : 0u);
    return value % n;
  };
}

void check(const policy::World& world, const std::map<DeviceId, policy::NodeState>& states,
           const policy::Query& query) {
  const auto& device = world.devices.at(query.target);
  const auto from = test::addresses_of(world, query.principal);
  const Address to = test::target_addresses(device).v4;
  const bool allowed = policy::evaluate(world, query, test::kNow).verdict == policy::Verdict::allow;
  const auto side = [&](const DeviceId& node, policy::Direction direction) {
    const auto state = states.find(node);
    return state != states.end() &&
           policy::look_up(state->second, direction, from.v4, to, query.protocol, query.port, test::kNow)
               .accept;
  };
  if (side(test::device_of(world, query.principal), policy::Direction::egress) != allowed) std::abort();
  if (side(test::node_of(device), policy::Direction::ingress) != allowed) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  test::WorldGen gen(from_bytes(data, size));
  const policy::World world = gen.world().world();
  const auto states = policy::compile(world, test::kNow);
  for (int i = 0; i < 2; ++i) {
    const std::uint8_t protocol = gen.protocol();
    const std::uint16_t port = gen.port();
    for (const auto& principal : test::all_principals(world))
      for (const auto& [target, known] : world.devices)
        check(world, states, {.principal = principal, .target = target, .protocol = protocol, .port = port});
  }
  return 0;
}
