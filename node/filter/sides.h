#pragma once
// Rows with two sides (ebpf/abi.h): a state is written beside the one that holds, until the generation turns.
// Elsewhere rows of principals and targets are settled: changed in generation 0, without a side before.

#include <cstdint>

#include "node/filter/image.h"

namespace cordon::node {

/// Principals and targets.
bool has_sides(Table table);

/// Settled rows as they are written: what they say holds from `generation` on.
Rows coming(Table table, const Rows& rows, std::uint64_t generation);
/// The same keys: until then `before` holds.
Rows changing(Table table, const Rows& rows, const Rows& before, std::uint64_t generation);
/// They are there until then, as if gone afterwards.
Rows going(Table table, const Rows& rows, std::uint64_t generation);

/// What a table says in a generation, and what of it a daemon left that was killed while it wrote.
struct SettledRows {
  Rows rows;    ///< settled, those that are there
  Rows unmade;  ///< of them: those whose row in the map would say something else in a later generation
  Rows absent;  ///< rows in the map that say nothing in this generation
};
SettledRows settle(Table table, const Rows& held, std::uint64_t generation);

}  // namespace cordon::node
