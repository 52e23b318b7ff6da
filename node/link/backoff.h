#pragma once
// How long to wait before the next try: quick at first, then decorrelated jitter, so that ten thousand nodes
// that lost their controller together do not come back together.

#include <chrono>
#include <functional>

namespace cordon::node {

struct BackoffLimits {
  unsigned quick_tries = 3;  ///< a restarted controller is found again at once
  std::chrono::milliseconds quick{400};
  std::chrono::milliseconds least{1000}, most{60'000};
};

class Backoff {
 public:
  /// `uniform` gives a number in [0, 1).
  Backoff(BackoffLimits limits, std::function<double()> uniform);

  /// The next wait: from a quarter of `quick` to `quick` at first, then uniform between `least` and three
  /// times the previous, never above `most`.
  std::chrono::milliseconds next();
  /// A session held: start over.
  void reset();

 private:
  std::chrono::milliseconds between(std::chrono::milliseconds low, std::chrono::milliseconds high);

  BackoffLimits limits_;
  std::function<double()> uniform_;
  unsigned tries_ = 0;
  std::chrono::milliseconds previous_;
};

}  // namespace cordon::node
