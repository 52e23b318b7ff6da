#pragma once
// Another CPU, between two steps of a program (interleave.bpf.c): what it does is listed first, then the
// program runs.

#include <cstddef>
#include <span>

#include "node/filter/kernel_filter.h"
#include "tests/bpf/interleave.h"

namespace cordon::test {

/// cordon.bpf.c with such steps.
std::span<const std::byte> interleaved_programs();

class OtherCpu {
 public:
  explicit OtherCpu(const node::Objects& objects);

  /// One more write; they are done in this order. A row's bytes, as its map has them.
  void does(interleave_table table, interleave_how how, const void* key, std::size_t key_size,
            const void* value, std::size_t value_size);
  /// They are done after so many steps of the programs that run from now on.
  void comes_after(unsigned steps);
  /// Were they? If not, they won't be any more.
  bool came();
  /// Forgets the writes.
  void forget() { writes_ = 0; }

 private:
  void plan(unsigned steps, unsigned writes);

  int plan_fd_, writes_fd_;
  unsigned writes_ = 0;
};

}  // namespace cordon::test
