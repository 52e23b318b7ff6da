#pragma once
// The bounds of what a peer may cost us.

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/rate_limit.h"

namespace cordon::controller {

struct DistributionLimits {
  using Millis = std::chrono::milliseconds;

  // Before a peer has proved who it is.
  Millis handshake{10'000};
  Millis first_frame{10'000};  ///< from the handshake to the first whole frame
  std::uint32_t first_frame_bytes = 64u << 10;
  std::size_t strangers = 512;  ///< connections that proved nothing yet
  std::size_t strangers_of_a_source = 32;
  RateLimitSpec enrolment{.burst = 10, .per_second = 0.5};  ///< by source
  double failed_enrolment_cost = 3;

  // Of a node's session.
  std::size_t window = 4;      ///< states and deltas that are unacked at most
  Millis hold{1'000};          ///< additions wait at their source for their targets at most
  Millis resync_first{1'000};  ///< after a NACK; doubles up to
  Millis resync_most{60'000};
  Millis idle_least{15'000};       ///< a session ends after three silent heartbeat intervals, at least this
  Millis stalled_write{60'000};    ///< a peer that doesn't read is dropped
  Millis confirm_overdue{10'000};  ///< no leases for a node that owes an ack for longer
  std::size_t answers = 64;        ///< queued at most; then we stop reading
  RateLimitSpec questions{.burst = 20, .per_second = 4};       ///< why, by device
  RateLimitSpec statuses{.burst = 30, .per_second = 6};        ///< status, login and logout, by device
  RateLimitSpec flows{.burst = 5'000, .per_second = 500};      ///< flow records, by device
  RateLimitSpec renewals{.burst = 5, .per_second = 0.02};      ///< certificates, by device
  RateLimitSpec facts{.burst = 20, .per_second = 0.1};         ///< records of a device's facts, by device
  RateLimitSpec key_records{.burst = 20, .per_second = 0.05};  ///< of a device's WireGuard keys, by device
  RateLimitSpec observations{
      .burst = 1, .per_second = 0.2};  ///< of a peer that is elsewhere, by who says so and the peer
  Millis login_settles{2'000};         ///< a login's answer waits for the nodes concerned at most
};

}  // namespace cordon::controller
