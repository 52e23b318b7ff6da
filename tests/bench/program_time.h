#pragma once
// ns per packet by BPF_PROG_TEST_RUN.

#include "base/result.h"
#include "node/filter/descriptor.h"
#include "tests/bench/report.h"
#include "tests/bpf/packet.h"

namespace cordon::bench {

/// A program that accepts and does nothing: what the measuring itself costs.
Result<node::Descriptor> load_empty_program();

/// A program that counts up the source port of each packet and then jumps to `program_fd`, so that every
/// repeat is a new flow. `port_offset`: of the source port in the packet.
class NewFlowEach {
 public:
  static Result<NewFlowEach> load(int program_fd, unsigned port_offset);
  int fd() const { return program_.get(); }

 private:
  node::Descriptor jump_table_, program_;
};

/// Average ns of one packet in `repeat` runs.
Result<double> time_once(int program_fd, const test::Packet& packet, unsigned repeat);
/// Five runs of it.
Result<Sample> time_program(int program_fd, const test::Packet& packet, unsigned repeat);

}  // namespace cordon::bench
