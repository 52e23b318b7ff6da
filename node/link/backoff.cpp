#include "node/link/backoff.h"

#include <algorithm>

namespace cordon::node {

Backoff::Backoff(BackoffLimits limits, std::function<double()> uniform)
    : limits_(limits), uniform_(std::move(uniform)), previous_(limits.least) {}

std::chrono::milliseconds Backoff::between(std::chrono::milliseconds low, std::chrono::milliseconds high) {
  const double share = std::clamp(uniform_(), 0.0, 1.0);
  return low + std::chrono::milliseconds(
                   static_cast<std::int64_t>(share * static_cast<double>((high - low).count())));
}

std::chrono::milliseconds Backoff::next() {
  if (tries_ < limits_.quick_tries) {
    ++tries_;
    return between(limits_.quick / 4, limits_.quick);
  }
  previous_ = std::min(limits_.most, between(limits_.least, previous_ * 3));
  return previous_;
}

void Backoff::reset() {
  tries_ = 0;
  previous_ = limits_.least;
}

}  // namespace cordon::node
