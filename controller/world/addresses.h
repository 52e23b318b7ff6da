#pragma once
// Overlay addresses: who gets which, and when one may be had again. Pure, so that every controller gives the
// same.
//
// IPv4: the next free offset of the pool (policy/address_pool.h), going round; one that was given back rests
// in quarantine first, until no node can still hold a grant of its last owner. IPv6: devices have
// PREFIX:0::NUMBER, sessions PREFIX:1::COUNTER; neither number is ever used again, so neither is an address.

#include <cstdint>
#include <string>

#include "base/result.h"
#include "policy/world.h"

namespace cordon::controller {

/// At least so many IPv4 addresses are free, whatever the time.
std::uint64_t v4_surely_free(const policy::World& world);

/// The IPv4 address that is next at `at`; `exhausted` with the numbers when none is free.
Result<Address> next_v4(const policy::World& world, Timestamp at);

Address device_v6(const policy::World& world, std::uint32_t number);
Address session_v6(const policy::World& world, std::uint64_t counter);

/// Gives `v4` back; it rests until `at` + the longest time a node away may still honour it.
void give_back_v4(policy::World& world, const Address& v4, Timestamp at);

/// How long an address rests: the node lease and the longest grant lease.
Seconds quarantine(const policy::World& world);

}  // namespace cordon::controller
