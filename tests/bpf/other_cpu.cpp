#include "tests/bpf/other_cpu.h"

#include <bpf/bpf.h>

#include <cstring>
#include <stdexcept>

#include "tests/bpf/interleave.skel.h"

namespace cordon::test {

std::span<const std::byte> interleaved_programs() {
  std::size_t size = 0;
  const void* data = cordon_interleave::elf_bytes(&size);
  return {static_cast<const std::byte*>(data), size};
}

OtherCpu::OtherCpu(const node::Objects& objects)
    : plan_fd_(objects.map("interleave_plan")), writes_fd_(objects.map("interleave_writes")) {}

void OtherCpu::does(interleave_table table, interleave_how how, const void* key, std::size_t key_size,
                    const void* value, std::size_t value_size) {
  interleave_write write{};
  write.table = table;
  write.how = how;
  if (key_size > sizeof write.key || value_size > sizeof write.value || writes_ == INTERLEAVE_WRITES)
    throw std::runtime_error("no room for another CPU's write");
  std::memcpy(write.key, key, key_size);
  if (value_size > 0) std::memcpy(write.value, value, value_size);
  const unsigned at = writes_++;
  bpf_map_update_elem(writes_fd_, &at, &write, BPF_ANY);
}

void OtherCpu::plan(unsigned steps, unsigned writes) {
  const unsigned zero = 0;
  const interleave_plan plan{.steps = steps, .writes = writes};
  bpf_map_update_elem(plan_fd_, &zero, &plan, BPF_ANY);
}

void OtherCpu::comes_after(unsigned steps) {
  plan(steps, writes_);
}

bool OtherCpu::came() {
  const unsigned zero = 0;
  interleave_plan left{};
  bpf_map_lookup_elem(plan_fd_, &zero, &left);
  plan(0, 0);
  return left.writes == 0;
}

}  // namespace cordon::test
