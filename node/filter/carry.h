#pragma once
// Takes over, row by row, what a map of another layout or size holds.

#include <cstdint>
#include <unordered_set>

#include "base/result.h"
#include "node/filter/descriptor.h"
#include "node/filter/map_layout.h"
#include "node/filter/map_pins.h"
#include "node/filter/rows.h"

namespace cordon::node {

class Carry {
 public:
  /// `into` is somebody else's. `fresh`: nothing was written to it yet.
  static Result<Carry> between(Descriptor from, int into, const RowConversion& conversion, bool fresh);

  /// The first time every row; then what the kernel's programs added since. What `into` has already stays,
  /// except in arrays, which always have every row.
  Result<> pass();

 private:
  Carry(Descriptor from, int into, RowConversion conversion)
      : from_(std::move(from)), into_(into), conversion_(std::move(conversion)) {}
  Result<> take(const std::uint8_t* keys, const std::uint8_t* values, std::size_t count);
  Result<> write(const Rows& rows) const;

  Descriptor from_;
  int into_ = -1;
  RowConversion conversion_;
  MapFacts from_facts_, into_facts_;
  bool fresh_ = false, begun_ = false;
  std::unordered_set<std::uint64_t> taken_;  ///< hashes of keys, of maps that the programs write
};

/// How many rows a hash map or trie holds.
Result<std::size_t> count_rows(int fd);

/// May rows be added by the kernel's programs, and older ones be evicted?
bool evicts(std::uint32_t map_type);

}  // namespace cordon::node
