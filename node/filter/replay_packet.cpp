#include "node/filter/replay_packet.h"

#include <algorithm>
#include <functional>
#include <string>

#include "node/filter/reasons.h"

namespace cordon::node {
namespace {

constexpr std::size_t kEthernetHeader = 14, kVlanTag = 4, kMostVlanTags = 2;
constexpr std::size_t kIpv4Header = 20, kIpv6Header = 40;
/// The kernel refuses to run a program on less.
constexpr std::size_t kShortestRun = kEthernetHeader;
constexpr unsigned kTypeIpv4 = 0x0800, kTypeIpv6 = 0x86dd, kTypeVlan = 0x8100, kTypeOuterVlan = 0x88a8;

using Bytes = std::span<const std::uint8_t>;

std::unexpected<std::string_view> because(cordon_reason reason) {
  return std::unexpected(reason_name(reason));
}

std::size_t get16(Bytes bytes, std::size_t at) {
  return static_cast<std::size_t>(bytes[at]) << 8 | bytes[at + 1];
}

/// Where the IP header begins; it must be of the version that the frame says.
std::expected<std::size_t, std::string_view> skip_ethernet(Bytes frame) {
  if (frame.size() < kEthernetHeader) return because(CORDON_REASON_malformed);
  std::size_t type_at = kEthernetHeader - 2;
  for (std::size_t tags = 0; tags < kMostVlanTags && frame.size() >= type_at + kVlanTag + 2; ++tags) {
    const std::size_t type = get16(frame, type_at);
    if (type != kTypeVlan && type != kTypeOuterVlan) break;
    type_at += kVlanTag;
  }
  const std::size_t type = get16(frame, type_at), begin = type_at + 2;
  if (type != kTypeIpv4 && type != kTypeIpv6) return because(CORDON_REASON_not_ip);
  if (begin == frame.size()) return because(CORDON_REASON_malformed);
  if (frame[begin] >> 4 != (type == kTypeIpv4 ? 4 : 6)) return because(CORDON_REASON_not_ip);
  return begin;
}

bool is_fragment(Bytes ip, bool v4) {
  constexpr std::uint8_t kFragmentHeader = 44;
  return v4 ? (get16(ip, 6) & 0x3fff) != 0 : ip[6] == kFragmentHeader;
}

/// What of the packet is run, its length field told to match. A length that the packet as sent didn't have
/// stays wrong.
std::vector<std::uint8_t> shortened(Bytes ip, std::size_t wire_bytes, bool v4) {
  const std::size_t kept = std::min(ip.size(), kLongestReplayed);
  std::vector<std::uint8_t> out(ip.begin(), ip.begin() + static_cast<std::ptrdiff_t>(kept));
  const std::size_t field = v4 ? 2 : 4, uncounted = v4 ? 0 : kIpv6Header;
  const std::size_t told = get16(ip, field) + uncounted;
  if (told <= wire_bytes && told > kept) {
    std::size_t run = kept;
    if (is_fragment(ip, v4)) {  // but for the last they end at multiples of 8: that must stay as it is
      const std::size_t over = told > kLongestReplayed ? told - kLongestReplayed : 0;
      run = told - (over + 7) / 8 * 8;
    }
    out.resize(run);
    out[field] = static_cast<std::uint8_t>((run - uncounted) >> 8);
    out[field + 1] = static_cast<std::uint8_t>(run - uncounted);
  }
  out.resize(std::max(out.size(), kShortestRun));
  return out;
}

std::uint64_t hash_of_end(const Address& address, Bytes port) {
  std::string bytes(address.bytes.begin(), address.bytes.end());
  bytes.append(port.begin(), port.end());
  return std::hash<std::string>{}(bytes);
}

}  // namespace

std::expected<IpPacket, std::string_view> ip_packet(const CapturedPacket& packet, LinkType link) {
  std::size_t begin = 0;
  if (link == LinkType::ethernet) {
    const auto after = skip_ethernet(packet.bytes);
    if (!after) return std::unexpected(after.error());
    begin = *after;
  }
  const Bytes ip = packet.bytes.subspan(begin);
  if (ip.empty()) return because(CORDON_REASON_malformed);
  const unsigned version = ip[0] >> 4;
  if (version != 4 && version != 6) return because(CORDON_REASON_not_ip);
  const bool v4 = version == 4;
  if (ip.size() < (v4 ? kIpv4Header : kIpv6Header)) return because(CORDON_REASON_malformed);
  const std::size_t from = v4 ? 12 : 8, length = v4 ? 4 : 16;
  IpPacket out;
  out.source = Address::from_bytes(ip.subspan(from, length)).value();
  out.destination = Address::from_bytes(ip.subspan(from + length, length)).value();
  // An IPv4 address in an IPv6 header would be taken for somebody's.
  if (!v4 && (out.source.is_v4() || out.destination.is_v4())) return because(CORDON_REASON_malformed);
  out.bytes = shortened(ip, packet.wire_bytes - begin, v4);
  return out;
}

std::uint64_t flow_hash(const IpPacket& packet) {
  const Bytes bytes = packet.bytes;
  const bool v4 = packet.source.is_v4();
  const std::size_t ports = v4 ? std::size_t{bytes[0] & 15u} * 4 : kIpv6Header;
  const bool has_ports = bytes.size() >= ports + 4;
  const Bytes from = has_ports ? bytes.subspan(ports, 2) : Bytes{};
  const Bytes to = has_ports ? bytes.subspan(ports + 2, 2) : Bytes{};
  const std::uint64_t protocol = bytes[v4 ? 9 : 6];
  return hash_of_end(packet.source, from) + hash_of_end(packet.destination, to) + protocol;
}

}  // namespace cordon::node
