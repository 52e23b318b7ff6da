#pragma once
// A node state with a given number of grants, and the packets that ask about it.

#include "policy/node_state.h"
#include "tests/bpf/packet.h"

namespace cordon::bench {

inline constexpr unsigned kPortsPerClass = 100;
inline constexpr std::uint16_t kFirstPort = 2000;

struct Ends {
  Address client, server;
};
inline Ends ends_v4() {
  return {test::address("100.64.0.20"), test::address("100.64.0.10")};
}
inline Ends ends_v6() {
  return {test::address("fd00:c0de::20"), test::address("fd00:c0de::10")};
}

/// `grants` of tcp and udp ports from kFirstPort on, in classes of kPortsPerClass; the clients of ends_v4 and
/// ends_v6 and their peers hold the first class, pings included, and so many others the rest.
policy::NodeState state_with(unsigned grants);
/// One of 256 more clients of the first class, whose addresses differ in the last byte.
Address peer_v4(unsigned i);
Address peer_v6(unsigned i);
/// The i-th client of another class.
Address other_client(unsigned i);

}  // namespace cordon::bench
