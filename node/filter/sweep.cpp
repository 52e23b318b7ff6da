#include "node/filter/sweep.h"

#include <bpf/bpf.h>

#include <cerrno>
#include <cstdint>

#include "node/filter/descriptor.h"

namespace cordon::node {
namespace {

Result<cordon_sweep> run_sweep(int program_fd, cordon_sweep work) {
  bpf_test_run_opts options{};
  options.sz = sizeof options;
  options.ctx_in = &work;  // for programs of this kind it is written back in place
  options.ctx_size_in = sizeof work;
  if (bpf_prog_test_run_opts(program_fd, &options) != 0)
    return fail_errno("can't sweep the kernel's flows", errno);
  return work;
}

/// Returns once every program that ran has ended: the kernel waits for them itself when the map within a map
/// is exchanged.
Result<> wait_for_programs() {
  constexpr const char* kWhat = "can't wait for the kernel's programs";
  const std::uint32_t zero = 0;
  const Descriptor inner(
      bpf_map_create(BPF_MAP_TYPE_ARRAY, "cordon_inner", sizeof zero, sizeof zero, 1, nullptr));
  if (!inner) return fail_errno(kWhat, errno);
  LIBBPF_OPTS(bpf_map_create_opts, options, .inner_map_fd = static_cast<std::uint32_t>(inner.get()));
  const Descriptor outer(
      bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "cordon_outer", sizeof zero, sizeof zero, 1, &options));
  const int inner_fd = inner.get();
  if (!outer || bpf_map_update_elem(outer.get(), &zero, &inner_fd, BPF_ANY) != 0)
    return fail_errno(kWhat, errno);
  return {};
}

}  // namespace

Result<cordon_sweep> sweep(int program_fd, cordon_sweep times) {
  CORDON_ASSIGN(cordon_sweep done, run_sweep(program_fd, times));
  if (done.untold == 0) return done;
  CORDON_TRY(wait_for_programs());
  CORDON_ASSIGN(const cordon_sweep told, tell_denials(program_fd, times));
  done.denials_told = told.denials_told;
  done.untold = told.untold;
  return done;
}

Result<cordon_sweep> tell_denials(int program_fd, cordon_sweep times) {
  times.telling = 1;
  return run_sweep(program_fd, times);
}

}  // namespace cordon::node
