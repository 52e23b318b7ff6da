#pragma once
// Random packets about a question: right ones, and ones that are cut, changed, in pieces, or dressed up.

#include <functional>

#include "tests/bpf/packet.h"

namespace cordon::test {

class PacketGen {
 public:
  /// `pick(n)` gives 0 .. n-1.
  explicit PacketGen(std::function<std::uint32_t(std::uint32_t)> pick) : pick_(std::move(pick)) {}

  /// A packet of this flow and protocol (for ICMP the destination's port is the type); one in four is a
  /// plain one.
  Packet about(const Flow& flow, std::uint8_t protocol);
  Packet plain(const Flow& flow, std::uint8_t protocol);

 private:
  bool chance(std::uint32_t percent) { return pick_(100) < percent; }
  Packet in_headers(Packet packet);
  Packet with_options(Packet packet);
  void lie_about_length(Packet& packet);
  std::function<std::uint32_t(std::uint32_t)> pick_;
};

/// For people: the bytes, 16 a line.
std::string hex_lines(const Packet& packet);

/// Makes a packet that `fails` smaller and plainer as long as it does.
Packet shrink(Packet packet, const std::function<bool(const Packet&)>& fails);

}  // namespace cordon::test
