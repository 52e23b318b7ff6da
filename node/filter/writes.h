#pragma once
// In which order a plan's rows are written, so that after every single one what the maps say is wholly the
// state before or wholly the one after (I10; DATAPATH.md, "Writing the maps"). Pure.

#include <cstdint>
#include <functional>

#include "base/result.h"
#include "node/filter/plan.h"

namespace cordon::node {

struct Write {
  enum class Kind {
    put,        ///< adds or overwrites
    put_going,  ///< overwrites what is removed later
    turn,       ///< the settings, and with them the generation: no table
    remove,
  } kind = Kind::put;
  Table table = Table::grants;
  const Rows* rows = nullptr;
};

/// Grants, under new classes; targets and principals on the side of `generation`; what the underlay guard and
/// the hooks have; the turn to it, which makes the state another; then removals. `take` is called in that
/// order until it fails.
Result<> for_writes(const Plan& plan, std::uint64_t generation,
                    const std::function<Result<>(const Write&)>& take);

}  // namespace cordon::node
