#pragma once
// Names of ebpf/abi.h's reasons, for people and metrics.

#include <array>
#include <cstdint>
#include <string_view>

#include "ebpf/abi.h"

namespace cordon::node {

inline constexpr std::array<std::string_view, CORDON_REASON_COUNT> kReasonNames{
#define CORDON_REASON_NAME(name, text) std::string_view(text),
    CORDON_REASONS(CORDON_REASON_NAME)
#undef CORDON_REASON_NAME
};

constexpr std::string_view reason_name(std::uint32_t reason) {
  return reason < kReasonNames.size() ? kReasonNames[reason] : std::string_view("unknown");
}

}  // namespace cordon::node
