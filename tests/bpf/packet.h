#pragma once
// Packets, byte by byte, as the programs meet them on an interface of bare IP.

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "policy/model.h"

namespace cordon::test {

using Packet = std::vector<std::uint8_t>;

inline constexpr std::uint8_t kFin = 1, kSyn = 2, kRst = 4, kAck = 16;

inline Address address(std::string_view text) {
  return Address::parse(text).value();
}

struct Flow {
  Address source, destination;
  std::uint16_t source_port = 0, destination_port = 0;
  Flow reversed() const { return {destination, source, destination_port, source_port}; }
};

/// An IP header of the addresses' family around a payload.
Packet ip(const Address& source, const Address& destination, std::uint8_t protocol, const Packet& payload);
Packet tcp(const Flow& flow, std::uint8_t flags);
Packet udp(const Flow& flow, std::size_t payload_bytes = 0);
Packet sctp(const Flow& flow, std::uint8_t chunk = 0);
/// ICMP or ICMPv6 by the family.
Packet icmp(const Address& source, const Address& destination, std::uint8_t type, std::uint8_t code,
            std::uint16_t identifier);
Packet echo_request(const Address& source, const Address& destination, std::uint16_t identifier);
Packet echo_reply(const Address& source, const Address& destination, std::uint16_t identifier);
/// IPv6 with an extension header before the payload.
Packet with_extension(const Packet& packet, std::uint8_t header, std::uint16_t fragment_offset_field = 0);
/// IPv6 with an extension header of these bytes behind its first, which says what follows.
Packet with_header(const Packet& packet, std::uint8_t header, const Packet& rest);
/// What carries bytes [at, at + bytes) of a whole packet's payload; the last one has no more to come.
Packet fragment(const Packet& whole, std::size_t at, std::size_t bytes, std::uint32_t id);
/// An error of this type about a packet, of which it quotes all.
Packet icmp_error(const Address& source, const Address& destination, std::uint8_t type, std::uint8_t code,
                  const Packet& about);
/// Any packet of this protocol and destination port (for ICMP the type).
Packet any_packet(const Flow& flow, std::uint8_t protocol);
Packet ethernet(const Packet& packet);
/// An Ethernet frame with one more tag before those it has.
Packet tagged(const Packet& frame, std::uint16_t vlan, std::uint16_t type = 0x8100);

}  // namespace cordon::test
