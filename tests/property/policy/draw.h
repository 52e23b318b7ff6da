#pragma once
// Worlds drawn by rapidcheck, every choice on its own, so that a failure shrinks to fewer and plainer things.

#include <rapidcheck.h>

#include "tests/support/world_gen.h"

namespace cordon::test {

inline Pick drawn() {
  return [](std::uint32_t n) {
    return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange<std::uint32_t>(0, n));
  };
}

}  // namespace cordon::test
