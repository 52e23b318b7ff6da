#pragma once
// The version of the software, as all three programs tell it.

#include <string_view>

namespace cordon {

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace cordon
