#pragma once
// The layout of ebpf/abi.h as C++ sees it, as data: a test compares it with the object's BTF.

#include <cstddef>
#include <span>

namespace cordon::node {

struct FieldLayout {
  const char* structure;
  const char* field;  ///< "" for the structure as a whole
  std::size_t offset, size;
};
std::span<const FieldLayout> abi_layout();

}  // namespace cordon::node
