#include "controller/world/addresses.h"

#include <fmt/format.h>

#include <algorithm>

namespace cordon::controller {

namespace {

constexpr Seconds kShortestQuarantine{15 * 60};

/// PREFIX with `subnet` in bits 48 to 63 and `host` in the last 64.
Address v6_address(const Prefix& prefix, std::uint16_t subnet, std::uint64_t host) {
  Address address = prefix.address;
  address.bytes[6] = static_cast<std::uint8_t>(subnet >> 8);
  address.bytes[7] = static_cast<std::uint8_t>(subnet);
  for (unsigned i = 0; i < 8; ++i) address.bytes[15 - i] = static_cast<std::uint8_t>(host >> (8 * i));
  return address;
}

}  // namespace

std::uint64_t v4_surely_free(const policy::World& world) {
  return world.v4.capacity() - world.v4.in_use() - world.v4.resting();
}

Result<Address> next_v4(const policy::World& world, Timestamp at) {
  const policy::AddressPool& pool = world.v4;
  if (const auto address = pool.next(at)) return *address;
  return fail(
      ErrorCode::exhausted,
      fmt::format("no IPv4 overlay address is free: of {} in {}, {} are used and {} rest after use",
                  pool.capacity(), world.installation.overlay_v4.to_string(), pool.in_use(), pool.resting()),
      "close sessions or remove devices that are not needed, or wait until addresses have rested");
}

Address device_v6(const policy::World& world, std::uint32_t number) {
  return v6_address(world.installation.overlay_v6, 0, number);
}

Address session_v6(const policy::World& world, std::uint64_t counter) {
  return v6_address(world.installation.overlay_v6, 1, counter);
}

void give_back_v4(policy::World& world, const Address& v4, Timestamp at) {
  world.v4.give_back(v4, at + quarantine(world));
}

Seconds quarantine(const policy::World& world) {
  return world.installation.node_lease + std::max(kShortestQuarantine, world.longest_lease);
}

}  // namespace cordon::controller
