#include "tests/bpf/packet.h"

namespace cordon::test {
namespace {

void put16(Packet& out, unsigned v) {
  out.push_back(static_cast<std::uint8_t>(v >> 8));
  out.push_back(static_cast<std::uint8_t>(v));
}

void put_ports(Packet& out, const Flow& flow) {
  put16(out, flow.source_port);
  put16(out, flow.destination_port);
}

void append(Packet& out, const auto& bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

}  // namespace

Packet ip(const Address& source, const Address& destination, std::uint8_t protocol, const Packet& payload) {
  Packet out;
  if (source.is_v4()) {
    out = {0x45, 0};
    put16(out, static_cast<unsigned>(20 + payload.size()));
    append(out, Packet{0, 0, 0, 0, 64, protocol, 0, 0});
  } else {
    out = {0x60, 0, 0, 0};
    put16(out, static_cast<unsigned>(payload.size()));
    append(out, Packet{protocol, 64});
  }
  append(out, source.raw());
  append(out, destination.raw());
  append(out, payload);
  return out;
}

Packet tcp(const Flow& flow, std::uint8_t flags) {
  Packet l4;
  put_ports(l4, flow);
  append(l4, Packet{0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0x10, 0, 0, 0, 0, 0});
  return ip(flow.source, flow.destination, policy::kTcp, l4);
}

Packet udp(const Flow& flow, std::size_t payload_bytes) {
  Packet l4;
  put_ports(l4, flow);
  put16(l4, static_cast<unsigned>(8 + payload_bytes));
  put16(l4, 0);
  l4.resize(8 + payload_bytes);
  return ip(flow.source, flow.destination, policy::kUdp, l4);
}

Packet sctp(const Flow& flow) {
  Packet l4;
  put_ports(l4, flow);
  l4.resize(16);
  return ip(flow.source, flow.destination, policy::kSctp, l4);
}

Packet icmp(const Address& source, const Address& destination, std::uint8_t type, std::uint8_t code,
            std::uint16_t identifier) {
  Packet l4{type, code, 0, 0};
  put16(l4, identifier);
  put16(l4, 1);
  return ip(source, destination, source.is_v4() ? policy::kIcmp : policy::kIcmpv6, l4);
}

Packet echo_request(const Address& source, const Address& destination, std::uint16_t identifier) {
  return icmp(source, destination, source.is_v4() ? 8 : 128, 0, identifier);
}

Packet echo_reply(const Address& source, const Address& destination, std::uint16_t identifier) {
  return icmp(source, destination, source.is_v4() ? 0 : 129, 0, identifier);
}

Packet with_extension(const Packet& packet, std::uint8_t header, std::uint16_t fragment_offset_field) {
  Packet out(packet.begin(), packet.begin() + 40);
  const std::uint8_t next = out[6];
  out[6] = header;
  const std::size_t payload = packet.size() - 40 + 8;
  out[4] = static_cast<std::uint8_t>(payload >> 8);
  out[5] = static_cast<std::uint8_t>(payload);
  append(out, Packet{next, 0, static_cast<std::uint8_t>(fragment_offset_field >> 8),
                     static_cast<std::uint8_t>(fragment_offset_field), 0, 0, 0, 0});
  append(out, Packet(packet.begin() + 40, packet.end()));
  return out;
}

Packet any_packet(const Flow& flow, std::uint8_t protocol) {
  switch (protocol) {
    case policy::kTcp:
      return tcp(flow, kSyn);
    case policy::kUdp:
      return udp(flow);
    case policy::kSctp:
      return sctp(flow);
    case policy::kIcmp:
    case policy::kIcmpv6:
      return icmp(flow.source, flow.destination, static_cast<std::uint8_t>(flow.destination_port), 0,
                  flow.source_port);
    default:
      return ip(flow.source, flow.destination, protocol, Packet(8));
  }
}

Packet ethernet(const Packet& packet) {
  Packet out(12, 2);
  const bool v6 = !packet.empty() && packet[0] >> 4 == 6;
  append(out, v6 ? Packet{0x86, 0xdd} : Packet{0x08, 0x00});
  append(out, packet);
  return out;
}

}  // namespace cordon::test
