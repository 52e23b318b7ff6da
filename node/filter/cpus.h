#pragma once
// Per-CPU maps hold a value for each CPU that the kernel could ever bring up.

#include <bpf/libbpf.h>

#include <cstddef>

namespace cordon::node {

/// The number of values that a per-CPU map hands out at once; at least 1.
inline std::size_t possible_cpus() {
  static const int count = libbpf_num_possible_cpus();
  return count > 0 ? static_cast<std::size_t>(count) : 1;
}

}  // namespace cordon::node
