#pragma once
// The walk over the kernel's flows that only time can ask for: what fell silent is told and removed, what
// each principal owns is counted again, suppressed denials are told (ebpf/sweep.bpf.h).

#include <chrono>

#include "base/result.h"
#include "ebpf/abi.h"

namespace cordon::node {

/// How often the daemon sweeps.
inline constexpr std::chrono::seconds kSweepInterval{10};

/// How long flows may be silent: as long as Linux's conntrack waits for UDP and ICMP without an answer; as
/// long as RFC 4787 (REQ-5) recommends for UDP streams; a day for TCP, whose entry is only a cache.
inline constexpr cordon_sweep kSweepTimes{.now_ns = 0,
                                          .idle_ns = 30'000'000'000,
                                          .stream_ns = 300'000'000'000,
                                          .tcp_ns = 86'400'000'000'000,
                                          .closed_ns = 10'000'000'000,
                                          .flows_left = 0,
                                          .flows_ended = 0,
                                          .denials_told = 0,
                                          .events_lost = 0,
                                          .telling = 0,
                                          .untold = 0,
                                          .round = 0,
                                          .left = 0};

/// Runs the program `sweep`, then, when denials were counted, waits some 10 ms for programs that may still be
/// counting and has it tell them. Returns its context with what was done; `untold`: so many counts wait for
/// room in the ring of events, and `tell_denials` tells them once it is read.
Result<cordon_sweep> sweep(int program_fd, cordon_sweep times);
Result<cordon_sweep> tell_denials(int program_fd, cordon_sweep times);

}  // namespace cordon::node
