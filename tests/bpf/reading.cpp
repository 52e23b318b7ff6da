#include "tests/bpf/reading.h"

#include <algorithm>
#include <span>

namespace cordon::test {
namespace {

using Bytes = std::span<const std::uint8_t>;

unsigned at16(Bytes bytes, std::size_t i) {
  return static_cast<unsigned>(bytes[i]) << 8 | bytes[i + 1];
}

Address v4_at(Bytes bytes, std::size_t i) {
  return Address::from_v4(at16(bytes, i) << 16 | at16(bytes, i + 2));
}

Address v6_at(Bytes bytes, std::size_t i) {
  Address out;
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(i), 16, out.bytes.begin());
  return out;
}

struct Fragment {
  unsigned at = 0;
  bool more = false;
};

/// May this be a part of a datagram, by where it lies?
bool fits(const Fragment& fragment, std::size_t bytes) {
  return fragment.at + bytes <= 65535 && (!fragment.more || bytes % 8 == 0);
}

bool is_echo(bool v6, unsigned type, bool reply) {
  return type == (v6 ? (reply ? 129u : 128u) : (reply ? 0u : 8u));
}

Reading read_icmp(Reading out, bool v6, Bytes l4) {
  const unsigned type = l4[0], identifier = at16(l4, 4);
  const bool error =
      v6 ? type < 128 || type == 137 : type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
  out.kind = error ? Reading::Kind::error : Reading::Kind::whole;
  out.asks_port = static_cast<std::uint16_t>(type);
  out.destination_port = static_cast<std::uint16_t>(type);
  if (is_echo(v6, type, false)) out.source_port = static_cast<std::uint16_t>(identifier);
  if (is_echo(v6, type, true)) {
    out.source_port = v6 ? 128 : 8;
    out.destination_port = static_cast<std::uint16_t>(identifier);
  }
  return out;
}

Reading read_l4(Reading out, bool v6, Bytes l4) {
  if (out.protocol == (v6 ? policy::kIcmp : policy::kIcmpv6) || out.protocol == 0) return {};
  const std::size_t least =
      out.protocol == policy::kTcp                                                                       ? 20
      : out.protocol == policy::kSctp                                                                    ? 12
      : out.protocol == policy::kUdp || out.protocol == policy::kIcmp || out.protocol == policy::kIcmpv6 ? 8
                                                                                                         : 0;
  if (l4.size() < least) return {};
  out.kind = Reading::Kind::whole;
  if (least == 0) return out;
  if (out.protocol == policy::kIcmp || out.protocol == policy::kIcmpv6) return read_icmp(out, v6, l4);
  out.source_port = static_cast<std::uint16_t>(at16(l4, 0));
  out.destination_port = out.asks_port = static_cast<std::uint16_t>(at16(l4, 2));
  if (out.protocol != policy::kTcp) return out;
  const std::size_t header = static_cast<std::size_t>(l4[12] >> 4) * 4;
  if (header < 20 || header > l4.size()) return {};
  out.bare_syn = (l4[13] & (kFin | kSyn | kRst | kAck)) == kSyn;
  return out;
}

Reading read_v4(Bytes bytes) {
  if (bytes.size() < 20) return {};
  const std::size_t header = static_cast<std::size_t>(bytes[0] & 15) * 4, total = at16(bytes, 2);
  if (header < 20 || total < header || total > bytes.size()) return {};
  Reading out{.source = v4_at(bytes, 12), .destination = v4_at(bytes, 16), .protocol = bytes[9]};
  const Bytes payload = bytes.subspan(header, total - header);
  const unsigned field = at16(bytes, 6);
  const Fragment fragment{.at = (field & 0x1fff) * 8, .more = (field & 0x2000) != 0};
  if ((fragment.at != 0 || fragment.more) && !fits(fragment, payload.size())) return {};
  if (fragment.at != 0) {
    out.kind = Reading::Kind::later;
    return out;
  }
  return read_l4(out, false, payload);
}

bool is_extension(unsigned header) {
  return header == 0 || header == 43 || header == 44 || header == 51 || header == 60 || header == 135 ||
         header == 139 || header == 140;
}

/// Bytes of the extension header that the payload begins with; none when it may not stand here.
std::optional<std::size_t> extension_bytes(unsigned header, Bytes payload, bool first) {
  if (header == 44) return 8;
  if (header == 51) return (payload[1] + 2u) * 4;
  const bool passes = (header == 0 && first) || (header == 43 && payload[3] == 0) || header == 60;
  return passes ? std::optional<std::size_t>((payload[1] + 1u) * 8) : std::nullopt;
}

Reading read_v6(Bytes bytes) {
  if (bytes.size() < 40 || at16(bytes, 4) + 40 > bytes.size()) return {};
  Reading out{.source = v6_at(bytes, 8), .destination = v6_at(bytes, 24)};
  if (out.source.is_v4() || out.destination.is_v4()) return {};
  Bytes payload = bytes.subspan(40, at16(bytes, 4));
  unsigned next = bytes[6];
  bool fragmented = false;
  for (int headers = 0; is_extension(next); ++headers) {
    if (headers == 8 || payload.size() < 8) return {};
    const auto size = extension_bytes(next, payload, headers == 0);
    if (!size || *size > payload.size()) return {};
    const Fragment fragment{.at = at16(payload, 2) & 0xfff8, .more = (payload[3] & 1) != 0};
    const bool is_fragment = next == 44 && (fragment.at != 0 || fragment.more);
    next = payload[0];
    payload = payload.subspan(*size);
    if (!is_fragment) continue;
    if (fragmented || !fits(fragment, payload.size())) return {};
    fragmented = true;
    if (fragment.at != 0) {
      out.kind = Reading::Kind::later;
      return out;
    }
  }
  out.protocol = static_cast<std::uint8_t>(next);
  return read_l4(out, true, payload);
}

}  // namespace

Reading read_packet(const Packet& packet) {
  if (packet.empty()) return {};
  if (packet[0] >> 4 == 4) return read_v4(packet);
  return packet[0] >> 4 == 6 ? read_v6(packet) : Reading{};
}

}  // namespace cordon::test
