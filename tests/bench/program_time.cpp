#include "tests/bench/program_time.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <array>
#include <cerrno>
#include <cstddef>

namespace cordon::bench {
namespace {

constexpr int kRuns = 5;

bpf_insn insn(unsigned code, unsigned dst, unsigned src, int off, int imm) {
  return {.code = static_cast<__u8>(code),
          .dst_reg = static_cast<__u8>(dst & 15),
          .src_reg = static_cast<__u8>(src & 15),
          .off = static_cast<__s16>(off),
          .imm = imm};
}

Result<node::Descriptor> load(const std::vector<bpf_insn>& code) {
  node::Descriptor fd(
      bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "bench", "GPL", code.data(), code.size(), nullptr));
  if (!fd) return fail_errno("can't load a program of the benchmark", errno);
  return fd;
}

}  // namespace

Result<node::Descriptor> load_empty_program() {
  return load({insn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, -1), insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)});
}

Result<NewFlowEach> NewFlowEach::load(int program_fd, const Where& where) {
  NewFlowEach out;
  out.jump_table_ = node::Descriptor(bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "bench_jump", 4, 4, 1, nullptr));
  const __u32 zero = 0;
  if (!out.jump_table_ || bpf_map_update_elem(out.jump_table_.get(), &zero, &program_fd, BPF_ANY) != 0)
    return fail_errno("can't make the benchmark's jump table", errno);
  const int port = static_cast<int>(where.port), address = static_cast<int>(where.address_end);
  const std::vector<bpf_insn> code{
      insn(BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0),                            // r6 = skb
      insn(BPF_LDX | BPF_MEM | BPF_W, 2, 1, offsetof(__sk_buff, data), 0),      // r2 = data
      insn(BPF_LDX | BPF_MEM | BPF_W, 3, 1, offsetof(__sk_buff, data_end), 0),  // r3 = data_end
      insn(BPF_ALU64 | BPF_MOV | BPF_X, 4, 2, 0, 0),                            // r4 = data + port + 2
      insn(BPF_ALU64 | BPF_ADD | BPF_K, 4, 0, 0, port + 2),                     //
      insn(BPF_JMP | BPF_JGT | BPF_X, 4, 3, 11, 0),                             // past the end: out
      insn(BPF_LDX | BPF_MEM | BPF_H, 5, 2, port, 0),                           // port + 1
      insn(BPF_ALU64 | BPF_ADD | BPF_K, 5, 0, 0, 1),                            //
      insn(BPF_STX | BPF_MEM | BPF_H, 2, 5, port, 0),                           //
      insn(BPF_LDX | BPF_MEM | BPF_B, 5, 2, address, 0),                        // address + 1
      insn(BPF_ALU64 | BPF_ADD | BPF_K, 5, 0, 0, 1),                            //
      insn(BPF_STX | BPF_MEM | BPF_B, 2, 5, address, 0),                        //
      insn(BPF_ALU64 | BPF_MOV | BPF_X, 1, 6, 0, 0),                            // tail call
      insn(BPF_LD | BPF_DW | BPF_IMM, 2, BPF_PSEUDO_MAP_FD, 0, out.jump_table_.get()),
      insn(0, 0, 0, 0, 0),
      insn(BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, 0),
      insn(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_tail_call),
      insn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 2),
      insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
  };
  CORDON_ASSIGN(out.program_, bench::load(code));
  return out;
}

Result<LoneWrite> LoneWrite::load(std::uint32_t entries, const Where& where) {
  constexpr int kKey = -40, kValue = -88;  // on the stack
  LoneWrite out;
  out.map_ = node::Descriptor(bpf_map_create(BPF_MAP_TYPE_LRU_HASH, "bench_lru", 40, 48, entries, nullptr));
  if (!out.map_) return fail_errno("can't make the benchmark's map", errno);
  std::vector<bpf_insn> code{
      insn(BPF_LDX | BPF_MEM | BPF_W, 2, 1, offsetof(__sk_buff, data), 0),
      insn(BPF_LDX | BPF_MEM | BPF_W, 3, 1, offsetof(__sk_buff, data_end), 0),
      insn(BPF_ALU64 | BPF_MOV | BPF_X, 4, 2, 0, 0),
      insn(BPF_ALU64 | BPF_ADD | BPF_K, 4, 0, 0, static_cast<int>(where.port) + 4),
      insn(BPF_JMP | BPF_JGT | BPF_X, 4, 3, 0, 0),  // past the end: out; set below
      insn(BPF_LDX | BPF_MEM | BPF_W, 5, 2, static_cast<int>(where.port), 0),
      insn(BPF_LDX | BPF_MEM | BPF_B, 0, 2, static_cast<int>(where.address_end), 0),
  };
  for (int at = kValue; at < 0; at += 8) code.push_back(insn(BPF_ST | BPF_MEM | BPF_DW, 10, 0, at, 0));
  code.insert(code.end(), {
                              insn(BPF_STX | BPF_MEM | BPF_W, 10, 5, kKey, 0),
                              insn(BPF_STX | BPF_MEM | BPF_B, 10, 0, kKey + 8, 0),
                              insn(BPF_LD | BPF_DW | BPF_IMM, 1, BPF_PSEUDO_MAP_FD, 0, out.map_.get()),
                              insn(0, 0, 0, 0, 0),
                              insn(BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0),
                              insn(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, kKey),
                              insn(BPF_ALU64 | BPF_MOV | BPF_X, 3, 10, 0, 0),
                              insn(BPF_ALU64 | BPF_ADD | BPF_K, 3, 0, 0, kValue),
                              insn(BPF_ALU64 | BPF_MOV | BPF_K, 4, 0, 0, 0),
                              insn(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_update_elem),
                              insn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, -1),
                              insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
                          });
  code.push_back(insn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 2));
  code.push_back(insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  code[4].off = static_cast<__s16>(code.size() - 2 - 5);
  CORDON_ASSIGN(out.program_, bench::load(code));
  return out;
}

Result<> LoneWrite::empty_table() const {
  std::array<std::uint8_t, 40> key{}, next{};
  bool more = bpf_map_get_next_key(map_.get(), nullptr, next.data()) == 0;
  while (more) {
    key = next;
    more = bpf_map_get_next_key(map_.get(), key.data(), next.data()) == 0;
    if (bpf_map_delete_elem(map_.get(), key.data()) != 0 && errno != ENOENT)
      return fail_errno("can't empty the benchmark's map", errno);
  }
  return {};
}

Result<double> time_once(int program_fd, const test::Packet& packet, unsigned repeat) {
  bpf_test_run_opts options{};
  options.sz = sizeof options;
  options.data_in = packet.data();
  options.data_size_in = static_cast<__u32>(packet.size());
  options.repeat = static_cast<int>(repeat);
  if (bpf_prog_test_run_opts(program_fd, &options) != 0) return fail_errno("can't run a program", errno);
  return static_cast<double>(options.duration);
}

Result<Sample> time_program(int program_fd, const test::Packet& packet, unsigned repeat) {
  CORDON_TRY(time_once(program_fd, packet, repeat / 10));  // warm
  std::vector<double> runs;
  for (int i = 0; i < kRuns; ++i) {
    CORDON_ASSIGN(const double ns, time_once(program_fd, packet, repeat));
    runs.push_back(ns);
  }
  return sample_of(std::move(runs));
}

}  // namespace cordon::bench
