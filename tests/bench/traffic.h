#pragma once
// Traffic from one namespace to another, by sockets of our own: what comes through in a given time.

#include <chrono>
#include <string>

#include "base/result.h"
#include "tests/bench/world.h"

namespace cordon::bench {

/// From `from`'s namespace to `to`'s; everything is granted in a state of world.h.
struct Way {
  std::string from, to;
  Ends ends;
};
using Milliseconds = std::chrono::milliseconds;

/// Packets of 18 bytes a second through one socket. Nobody reads them: what is measured is the way, which
/// over veth is walked in the sender's time, filters included.
Result<double> udp_packets_per_second(const Way& way, Milliseconds time);
/// As many as are read at the other end, where the way has queues that drop.
Result<double> udp_packets_received_per_second(const Way& way, Milliseconds time);
/// Payload bits a second of one connection.
Result<double> tcp_bits_per_second(const Way& way, Milliseconds time);
/// Connections opened and reset a second, one after the other.
Result<double> tcp_connects_per_second(const Way& way, Milliseconds time);
/// The 99th percentile of a ping's time in microseconds, one after the other, while kLoad UDP packets a
/// second go the same way. One that is lost counts as kLost.
inline constexpr unsigned kLoad = 20'000;
inline constexpr Milliseconds kLost{200};
Result<double> loaded_ping_p99_us(const Way& way, Milliseconds time);

}  // namespace cordon::bench
