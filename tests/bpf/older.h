#pragma once
// The programs of other versions: as a daemon before or after an upgrade carries them.

#include <cstddef>
#include <span>

namespace cordon::test {

/// struct cordon_flow has one field more, in front.
std::span<const std::byte> older_programs();
/// The same layout as ours, other instructions.
std::span<const std::byte> rebuilt_programs();

}  // namespace cordon::test
