#pragma once
// What a node may say it understands. A state that needs more is refused with a NACK that names it.

#include <array>
#include <string_view>

namespace cordon::wire {

inline constexpr std::string_view kFeatureState1 =
    "state/1";  ///< the entries of cordon.proto as of this release
inline constexpr std::array kFeatures = {kFeatureState1};

}  // namespace cordon::wire
