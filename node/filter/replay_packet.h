#pragma once
// A captured packet as the programs at a node's overlay interface would meet it: bare IP. Pure.

#include <expected>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "node/filter/capture.h"

namespace cordon::node {

struct IpPacket {
  Address source, destination;
  /// From the IP header on. A packet that was captured in part, or is longer than a test run takes, is
  /// shortened and its length field with it: only headers decide.
  std::vector<std::uint8_t> bytes;
};

/// The longest packet that is run; a test run's data must fit into a page.
inline constexpr std::size_t kLongestReplayed = 2048;

/// Why there is none: "not ip" or "malformed packet" (as in ebpf/abi.h). VLAN tags are skipped.
std::expected<IpPacket, std::string_view> ip_packet(const CapturedPacket& packet, LinkType link);

/// The same for both directions of a connection; others have it only by accident.
std::uint64_t flow_hash(const IpPacket& packet);

}  // namespace cordon::node
