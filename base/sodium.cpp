#include "base/sodium.h"

#include <sodium.h>

#include <cstdlib>

namespace cordon {

void ensure_sodium() {
  static const bool ready = sodium_init() >= 0;
  if (!ready) std::abort();
}

}  // namespace cordon
