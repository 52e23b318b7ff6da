#include "tests/bpf/packet.h"

#include <algorithm>

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

Packet sctp(const Flow& flow, std::uint8_t chunk) {
  Packet l4;
  put_ports(l4, flow);
  l4.resize(16);
  l4[12] = chunk;
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

Packet with_header(const Packet& packet, std::uint8_t header, const Packet& rest) {
  Packet out(packet.begin(), packet.begin() + 40);
  const std::uint8_t next = out[6];
  out[6] = header;
  const std::size_t payload = packet.size() - 40 + 1 + rest.size();
  out[4] = static_cast<std::uint8_t>(payload >> 8);
  out[5] = static_cast<std::uint8_t>(payload);
  out.push_back(next);
  append(out, rest);
  append(out, Packet(packet.begin() + 40, packet.end()));
  return out;
}

Packet with_extension(const Packet& packet, std::uint8_t header, std::uint16_t fragment_offset_field) {
  return with_header(packet, header,
                     {0, static_cast<std::uint8_t>(fragment_offset_field >> 8),
                      static_cast<std::uint8_t>(fragment_offset_field), 0, 0, 0, 0});
}

Packet fragment(const Packet& whole, std::size_t at, std::size_t bytes, std::uint32_t id) {
  const bool v6 = whole[0] >> 4 == 6;
  const std::size_t header = v6 ? 40 : static_cast<std::size_t>(whole[0] & 15) * 4;
  const std::size_t end = std::min(at + bytes, whole.size() - header);
  const bool more = end < whole.size() - header;
  const auto begin = whole.begin() + static_cast<std::ptrdiff_t>(header);
  Packet out(whole.begin(), begin);
  out.insert(out.end(), begin + static_cast<std::ptrdiff_t>(at), begin + static_cast<std::ptrdiff_t>(end));
  if (v6) {
    const auto field = static_cast<std::uint16_t>(at | (more ? 1 : 0));
    return with_header(out, 44,
                       {0, static_cast<std::uint8_t>(field >> 8), static_cast<std::uint8_t>(field),
                        static_cast<std::uint8_t>(id >> 24), static_cast<std::uint8_t>(id >> 16),
                        static_cast<std::uint8_t>(id >> 8), static_cast<std::uint8_t>(id)});
  }
  const auto field = static_cast<std::uint16_t>(at / 8 | (more ? 0x2000 : 0));
  out[2] = static_cast<std::uint8_t>(out.size() >> 8), out[3] = static_cast<std::uint8_t>(out.size());
  out[4] = static_cast<std::uint8_t>(id >> 8), out[5] = static_cast<std::uint8_t>(id);
  out[6] = static_cast<std::uint8_t>(field >> 8), out[7] = static_cast<std::uint8_t>(field);
  return out;
}

Packet icmp_error(const Address& source, const Address& destination, std::uint8_t type, std::uint8_t code,
                  const Packet& about) {
  Packet l4{type, code, 0, 0, 0, 0, 0, 0};
  append(l4, about);
  return ip(source, destination, source.is_v4() ? policy::kIcmp : policy::kIcmpv6, l4);
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

Packet tagged(const Packet& frame, std::uint16_t vlan, std::uint16_t type) {
  Packet out(frame.begin(), frame.begin() + 12);
  put16(out, type);
  put16(out, vlan);
  out.insert(out.end(), frame.begin() + 12, frame.end());
  return out;
}

}  // namespace cordon::test
