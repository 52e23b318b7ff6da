#pragma once
// ns per packet by BPF_PROG_TEST_RUN.

#include "base/result.h"
#include "node/filter/descriptor.h"
#include "tests/bench/report.h"
#include "tests/bpf/packet.h"

namespace cordon::bench {

/// A program that accepts and does nothing: what the measuring itself costs.
Result<node::Descriptor> load_empty_program();

/// Offsets in a bare IP packet of the source port and of the source address's last byte.
struct Where {
  unsigned port = 0, address_end = 0;
};

/// A program that counts up source port and address of each packet and then jumps to `program_fd`, so that
/// every repeat (of 65,536) is a new flow, of one of 256 principals.
class NewFlowEach {
 public:
  static Result<NewFlowEach> load(int program_fd, const Where& where);
  int fd() const { return program_.get(); }

 private:
  node::Descriptor jump_table_, program_;
};

/// What no new flow can be cheaper than: the write of an entry of that size to an LRU map of that many.
class LoneWrite {
 public:
  static Result<LoneWrite> load(std::uint32_t entries, const Where& where);
  int fd() const { return program_.get(); }
  Result<> empty_table() const;

 private:
  node::Descriptor map_, program_;
};

/// Average ns of one packet in `repeat` runs.
Result<double> time_once(int program_fd, const test::Packet& packet, unsigned repeat);
/// Five runs of it.
Result<Sample> time_program(int program_fd, const test::Packet& packet, unsigned repeat);

}  // namespace cordon::bench
