#include "controller/world/validate_behind.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

namespace cordon::controller {

namespace {

using policy::DeviceState;
using policy::World;

constexpr std::size_t kMostPrefixes = 64;  // of one device
constexpr unsigned kShortestV4 = 8, kShortestV6 = 16;

bool prefixes_overlap(const Prefix& a, const Prefix& b) {
  return a.contains(b.address) || b.contains(a.address);
}

/// What an address can't be routed to by (RFC 1122, 3927, 4291, 5771).
struct Reserved {
  Prefix prefix;
  std::string_view what;
};
const auto& reserved_ranges() {
  const auto v4 = [](std::uint32_t address, unsigned length) {
    return Prefix::of(Address::from_v4(address), length);
  };
  const auto v6 = [](std::uint8_t first, std::uint8_t second, unsigned length) {
    Address address;
    address.bytes[0] = first;
    address.bytes[1] = second;
    return Prefix::of(address, length);
  };
  static const std::array kAll{
      Reserved{v4(0x00000000, 8), "unspecified"},           Reserved{v4(0x7f000000, 8), "loopback"},
      Reserved{v4(0xa9fe0000, 16), "link-local"},           Reserved{v4(0xe0000000, 4), "multicast"},
      Reserved{v4(0xf0000000, 4), "reserved or broadcast"}, Reserved{v6(0, 0, 80), "unspecified or loopback"},
      Reserved{v6(0xfe, 0x80, 10), "link-local"},           Reserved{v6(0xff, 0, 8), "multicast"}};
  return kAll;
}

Result<> check_prefix(const World& world, const Prefix& prefix) {
  const std::string text = prefix.to_string();
  const bool is_v4 = prefix.address.is_v4();
  const unsigned shortest = is_v4 ? kShortestV4 : kShortestV6;
  if (prefix.length() < shortest) {
    return fail(ErrorCode::invalid, fmt::format("\"{}\" is too wide to be behind one gateway", text),
                fmt::format("an {} prefix has at least {} bits: name the subnets that are really there",
                            is_v4 ? "IPv4" : "IPv6", shortest));
  }
  for (const auto& [taken, what] : reserved_ranges())
    if (taken.address.is_v4() == is_v4 && prefixes_overlap(taken, prefix)) {
      return fail(ErrorCode::invalid,
                  fmt::format("\"{}\" holds {} addresses ({})", text, what, taken.to_string()),
                  "nothing is routed there: name the addresses that the gateway reaches it at");
    }
  for (const Prefix& overlay : {world.installation.overlay_v4, world.installation.overlay_v6})
    if (prefixes_overlap(overlay, prefix)) {
      return fail(ErrorCode::invalid,
                  fmt::format("\"{}\" overlaps the overlay, {}", text, overlay.to_string()),
                  "what is behind a gateway has addresses of its own site, not of the overlay");
    }
  if (const auto* other = policy::find_overlap(world, prefix)) {
    return fail(ErrorCode::conflict,
                fmt::format("\"{}\" overlaps {}, which is where \"{}\" is", text, other->first.to_string(),
                            other->second.value),
                fmt::format("each address is one device's: remove \"{}\" first, or name prefixes beside its",
                            other->second.value));
  }
  return {};
}

Result<> check_gateway(const World& world, const DeviceId& gateway) {
  const auto found = world.devices.find(gateway);
  if (found == world.devices.end()) {
    return fail(ErrorCode::not_found,
                fmt::format("there is no device \"{}\" to be the gateway", gateway.value),
                "`cordon device list` shows them; a gateway enrols as any device");
  }
  if (found->second.state == DeviceState::removed) {
    return fail(ErrorCode::conflict, fmt::format("\"{}\" was removed and can't be a gateway", gateway.value),
                "name a device that is there");
  }
  if (found->second.is_behind()) {
    return fail(ErrorCode::conflict,
                fmt::format("\"{}\" is itself behind \"{}\" and can't be a gateway", gateway.value,
                            found->second.gateway.value),
                fmt::format("put it behind \"{}\" too, if that reaches it", found->second.gateway.value));
  }
  return {};
}

}  // namespace

Result<> check_behind(const World& world, const kinds::DeviceAdded& added) {
  CORDON_TRY(check_gateway(world, added.gateway));
  if (added.prefixes.empty()) {
    return fail(ErrorCode::invalid, fmt::format("\"{}\" has no prefix", added.device.value),
                "say at which addresses or subnets the gateway reaches it");
  }
  if (added.prefixes.size() > kMostPrefixes) {
    return fail(ErrorCode::invalid,
                fmt::format("{} prefixes are too many for one device", added.prefixes.size()),
                fmt::format("{} at most; several devices may be behind one gateway", kMostPrefixes));
  }
  for (const Prefix& prefix : added.prefixes) CORDON_TRY(check_prefix(world, prefix));
  const auto twice =
      std::ranges::adjacent_find(added.prefixes, prefixes_overlap);  // sorted: a wider one comes first
  if (twice != added.prefixes.end()) {
    return fail(ErrorCode::invalid,
                fmt::format("\"{}\" and \"{}\" overlap", twice->to_string(), std::next(twice)->to_string()),
                "name the wider one alone");
  }
  return {};
}

Result<> check_nothing_behind(const World& world, const DeviceId& gateway) {
  const auto behind = world.behind.find(gateway);
  if (behind == world.behind.end()) return {};
  std::vector<std::string> names;
  for (const DeviceId& id : behind->second) names.push_back(id.value);
  const std::string first = names.front();
  constexpr std::size_t kMostNamed = 10;
  const std::size_t more = names.size() > kMostNamed ? names.size() - kMostNamed : 0;
  names.resize(names.size() - more);
  return fail(ErrorCode::conflict,
              fmt::format("\"{}\" is the gateway of {}{}", gateway.value, fmt::join(names, ", "),
                          more > 0 ? fmt::format(" and {} more", more) : ""),
              fmt::format("remove what is behind it first: cordon device remove {}", first));
}

}  // namespace cordon::controller
