#pragma once
// The layout of ebpf/abi.h as data: what the name of every pin carries, and what a test compares with the
// object's BTF.

#include <cstddef>
#include <span>
#include <string>

#include "node/filter/filter.h"

namespace cordon::node {

struct FieldLayout {
  const char* structure;
  const char* field;  ///< "" for the structure as a whole
  std::size_t offset, size;
};
std::span<const FieldLayout> abi_layout();

/// Eight hex digits that differ when any structure or any map size does: maps under another name are never
/// adopted.
std::string layout_hash(const MapSizes& sizes);

}  // namespace cordon::node
