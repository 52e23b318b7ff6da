#include "node/filter/sweep.h"

#include <bpf/bpf.h>

#include <cerrno>

namespace cordon::node {

Result<cordon_sweep> sweep(int program_fd, cordon_sweep times) {
  bpf_test_run_opts options{};
  options.sz = sizeof options;
  options.ctx_in = &times;  // for programs of this kind it is written back in place
  options.ctx_size_in = sizeof times;
  if (bpf_prog_test_run_opts(program_fd, &options) != 0)
    return fail_errno("can't sweep the kernel's flows", errno);
  return times;
}

}  // namespace cordon::node
