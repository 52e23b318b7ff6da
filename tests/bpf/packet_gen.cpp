#include "tests/bpf/packet_gen.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace cordon::test {
namespace {

constexpr std::size_t kEthernet = 14, kLeast = kEthernet;  // BPF_PROG_TEST_RUN takes no fewer bytes

/// And where bytes 12 and 13 could be an Ethernet type of IP, it wants an IP header behind them.
bool looks_like_ethernet(const Packet& packet) {
  return (packet[12] == 0x08 && packet[13] == 0x00) || (packet[12] == 0x86 && packet[13] == 0xdd);
}

}  // namespace

Packet PacketGen::plain(const Flow& flow, std::uint8_t protocol) {
  constexpr std::array<std::uint8_t, 8> kFlags{kSyn,        kSyn,        kAck, kSyn | kAck,
                                               kFin | kAck, kRst | kAck, 0,    kSyn | kRst};
  if (protocol == policy::kTcp) return tcp(flow, kFlags[pick_(kFlags.size())]);
  if (protocol == policy::kUdp) return udp(flow, pick_(4) * 16);
  return any_packet(flow, protocol);
}

Packet PacketGen::in_headers(Packet packet) {
  constexpr std::array<std::uint8_t, 8> kHeaders{60, 60, 43, 51, 0, 44, 135, 60};
  for (std::uint32_t i = 0, count = 1 + pick_(chance(10) ? 10 : 3); i < count; ++i) {
    const std::uint8_t header = kHeaders[pick_(kHeaders.size())];
    const std::uint8_t length = header == 51 ? 1 : static_cast<std::uint8_t>(pick_(3));
    const std::size_t bytes = header == 44 ? 8 : header == 51 ? 12 : 8u * (length + 1u);
    Packet rest(bytes - 1, 0);
    if (header != 44) rest[0] = length;
    if (header == 43 && chance(20)) rest[2] = 1;
    if (chance(5))
      rest[pick_(static_cast<std::uint32_t>(rest.size()))] = static_cast<std::uint8_t>(pick_(256));
    packet = with_header(packet, header, rest);
  }
  return packet;
}

Packet PacketGen::with_options(Packet packet) {
  const std::uint32_t words = 1 + pick_(10);
  packet[0] = static_cast<std::uint8_t>(0x45 + words);
  const std::size_t total = packet.size() + words * 4;
  packet[2] = static_cast<std::uint8_t>(total >> 8), packet[3] = static_cast<std::uint8_t>(total);
  packet.insert(packet.begin() + 20, words * 4, 1);
  return packet;
}

void PacketGen::lie_about_length(Packet& packet) {
  const std::size_t field = packet[0] >> 4 == 6 ? 4 : 2;
  const std::uint32_t said = static_cast<std::uint32_t>(packet[field]) << 8 | packet[field + 1];
  const std::uint32_t lie = chance(30) ? pick_(65536) : said + pick_(64) - 32;
  packet[field] = static_cast<std::uint8_t>(lie >> 8), packet[field + 1] = static_cast<std::uint8_t>(lie);
}

Packet PacketGen::about(const Flow& flow, std::uint8_t protocol) {
  Packet packet = plain(flow, protocol);
  if (chance(25)) return packet;
  const bool v6 = packet[0] >> 4 == 6;
  if (chance(10))
    packet = icmp_error(flow.destination, flow.source, static_cast<std::uint8_t>(pick_(14)), 0, packet);
  if (chance(40)) packet = v6 ? in_headers(std::move(packet)) : with_options(std::move(packet));
  if (chance(20)) {
    const std::size_t at = chance(50) ? 0 : 8 * pick_(6), header = v6 ? 40 : (packet[0] & 15u) * 4;
    if (header + at < packet.size()) packet = fragment(packet, at, 8 * (1 + pick_(8)), pick_(3));
    if (v6 && chance(30)) packet = in_headers(std::move(packet));
  }
  if (chance(20)) lie_about_length(packet);
  if (chance(20))
    packet.resize(std::max(kLeast, packet.size() - pick_(static_cast<std::uint32_t>(packet.size()))));
  if (chance(10)) packet.resize(packet.size() + pick_(40));  // bytes behind the packet's end
  if (chance(30))
    for (std::uint32_t i = 1 + pick_(3); i > 0; --i)
      packet[pick_(static_cast<std::uint32_t>(packet.size()))] = static_cast<std::uint8_t>(pick_(256));
  if (packet.size() < kEthernet + 40 && looks_like_ethernet(packet)) packet[13] = 1;
  return packet;
}

std::string hex_lines(const Packet& packet) {
  std::string out;
  for (std::size_t i = 0; i < packet.size(); ++i)
    out += fmt::format("{:02x}{}", packet[i], i % 16 == 15 || i + 1 == packet.size() ? "\n" : " ");
  return out;
}

Packet shrink(Packet packet, const std::function<bool(const Packet&)>& fails) {
  while (packet.size() > kLeast && fails(Packet(packet.begin(), packet.end() - 1))) packet.pop_back();
  for (std::size_t i = 0; i < packet.size(); ++i) {
    Packet plainer = packet;
    plainer[i] = 0;
    if (packet[i] != 0 && fails(plainer)) packet = std::move(plainer);
  }
  return packet;
}

}  // namespace cordon::test
