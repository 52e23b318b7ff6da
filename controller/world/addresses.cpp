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

bool is_free(const policy::World& world, const Address& address, Timestamp at) {
  if (world.v4_in_use.contains(address)) return false;
  const auto resting = world.v4_quarantine.find(address);
  return resting == world.v4_quarantine.end() || resting->second <= at;
}

}  // namespace

std::uint64_t v4_capacity(const Prefix& pool) {
  const unsigned host_bits = 32 - pool.length();
  return host_bits < 2 ? 0 : (std::uint64_t{1} << host_bits) - 2;
}

std::uint64_t v4_surely_free(const policy::World& world) {
  const auto taken = world.v4_in_use.size() + world.v4_quarantine.size();
  const auto capacity = v4_capacity(world.installation.overlay_v4);
  return capacity > taken ? capacity - taken : 0;
}

Result<Address> next_v4(const policy::World& world, Timestamp at) {
  const auto& pool = world.installation.overlay_v4;
  const auto capacity = v4_capacity(pool);
  const auto resting = static_cast<std::uint64_t>(
      std::ranges::count_if(world.v4_quarantine, [at](const auto& entry) { return entry.second > at; }));
  if (world.v4_in_use.size() + resting < capacity) {
    std::uint64_t offset = world.next_v4;
    for (std::uint64_t tried = 0; tried < capacity; ++tried, ++offset) {
      if (offset == 0 || offset > capacity) offset = 1;
      const auto address =
          Address::from_v4(pool.address.v4_host_order() + static_cast<std::uint32_t>(offset));
      if (is_free(world, address, at)) return address;
    }
  }
  return fail(ErrorCode::exhausted,
              fmt::format("no IPv4 overlay address is free: of {} in {}, {} are used and {} rest after use",
                          capacity, pool.to_string(), world.v4_in_use.size(), resting),
              "close sessions or remove devices that are not needed, or wait until addresses have rested");
}

Address device_v6(const policy::World& world, std::uint32_t number) {
  return v6_address(world.installation.overlay_v6, 0, number);
}

Address session_v6(const policy::World& world, std::uint64_t counter) {
  return v6_address(world.installation.overlay_v6, 1, counter);
}

void take_v4(policy::World& world, const Address& v4, const std::string& owner) {
  world.v4_quarantine.erase(v4);
  world.v4_in_use[v4] = owner;
  const auto& pool = world.installation.overlay_v4;
  const auto offset = v4.v4_host_order() - pool.address.v4_host_order();
  world.next_v4 = offset >= v4_capacity(pool) ? 1 : offset + 1;
}

void give_back_v4(policy::World& world, const Address& v4, Timestamp at) {
  if (world.v4_in_use.erase(v4) != 0) world.v4_quarantine[v4] = at + quarantine(world);
}

Seconds quarantine(const policy::World& world) {
  auto longest = kShortestQuarantine;
  for (const auto& rule : world.policy->rules) longest = std::max(longest, rule.lease);
  return world.installation.node_lease + longest;
}

}  // namespace cordon::controller
