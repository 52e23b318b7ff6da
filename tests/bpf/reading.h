#pragma once
// A packet read the plain way, by RFC 791, 8200, 792, 4443, 9293: what the kernel's programs must make of the
// same bytes. So simple that it can be checked by eye, and written apart from them.

#include <optional>

#include "tests/bpf/packet.h"

namespace cordon::test {

struct Reading {
  enum class Kind {
    refused,  ///< can't be read, or may not pass whatever it asks for
    whole,    ///< asks for something; also a first fragment
    later,    ///< a fragment that doesn't tell what it is a part of
    error,    ///< an ICMP error about another packet
  } kind = Kind::refused;
  Address source, destination;
  std::uint8_t protocol = 0;
  std::uint16_t source_port = 0, destination_port = 0;
  std::uint16_t asks_port = 0;  ///< what grants are asked for: the destination's port, or the ICMP type
  bool bare_syn = false;        ///< TCP
};

Reading read_packet(const Packet& packet);

}  // namespace cordon::test
