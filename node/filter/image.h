#pragma once
// What the kernel's maps are to hold for a node state: ebpf/abi.h's structs, made without any system call.

#include <array>
#include <cstdint>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "base/uids.h"
#include "ebpf/abi.h"
#include "node/filter/rows.h"
#include "policy/node_state.h"

namespace cordon::node {

/// The tables that a plan writes, in its order.
enum class Table : std::uint8_t { grants, ranges, targets, principals, people, guards, allow };
inline constexpr std::size_t kTables = 7;
const char* map_name(Table table);

struct Image {
  std::array<Rows, kTables> tables;  ///< one row a key
  Rows& operator[](Table t) { return tables[static_cast<std::size_t>(t)]; }
  const Rows& operator[](Table t) const { return tables[static_cast<std::size_t>(t)]; }
};
/// Tables of the right shapes, without rows.
Image empty_image();

/// What stands outside the state: node.toml.
struct ImageConfig {
  std::vector<Prefix> underlay_allow;
  std::vector<UidRange> people;
};

/// All tables of a whole state. `allow` is from `config` alone.
Image make_image(const policy::NodeState& state, const TimeBase& base, const ImageConfig& config);

/// The rows of single entries (SettingsKey: the overlay's own prefixes; keys that no table holds: none).
void add_entry(Image& image, const policy::Key& key, const policy::Value& value, const TimeBase& base);
/// The guard table; every guard matters to every row, so it is always made whole.
void add_guards(Image& image, const policy::NodeState& state);
/// The sources that the underlay guard always passes.
void add_allow(Image& image, const ImageConfig& config);
/// Of rows with equal keys the last stays.
void make_unique(Image& image);

cordon_address to_abi(const Address& address);
cordon_target_key target_key(const Prefix& prefix);
Address from_abi(const cordon_address& address);

/// The settings and host structs that a state asks for (confirmed_ns and epoch are not the state's).
struct HostImage {
  std::uint32_t flags = 0;
  std::uint64_t node_lease_ns = 0;
  cordon_host host{};
};
HostImage make_host(const policy::NodeState& state, std::uint16_t wireguard_port, std::uint64_t netns_cookie);

/// Of two cordon_underlay_mode the one that lets less pass.
__u8 stricter_of(__u8 a, __u8 b);
/// Is there something on the underlay that the guard drops, or counts?
bool guards_anything(const cordon_host& host);
/// Does one of the networks, or a controller, have addresses of the overlay's prefixes?
bool meets_any(const cordon_host& host, const std::vector<Prefix>& networks,
               const std::vector<Endpoint>& controllers);

}  // namespace cordon::node
