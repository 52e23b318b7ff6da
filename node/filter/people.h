#pragma once
// Table `people`: which uids of this host are people's, and what each session of theirs may send from.

#include <cstdint>
#include <vector>

#include "base/uids.h"
#include "node/filter/image.h"

namespace cordon::node {

/// All uids whose first `bits` bits are those of `uid`.
struct UidPrefix {
  std::uint32_t uid = 0;
  std::uint8_t bits = 32;
  bool operator==(const UidPrefix&) const = default;
};

/// The fewest prefixes that hold exactly the range, from its first uid on.
std::vector<UidPrefix> prefixes_of(const UidRange& range);

/// The ranges' prefixes without addresses, and an entry of its own for each session of a uid in them; a
/// session of any other uid is nobody's.
void add_people(Image& image, const policy::NodeState& state, const std::vector<UidRange>& people);

}  // namespace cordon::node
