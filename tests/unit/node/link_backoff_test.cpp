#include "node/link/backoff.h"

#include <gtest/gtest.h>

namespace cordon::node {
namespace link_backoff_test {

using std::chrono::milliseconds;

TEST(Backoff, IsQuickAtFirstThenGrowsToItsLimit) {
  Backoff backoff({}, [] { return 0.999999; });
  for (int i = 0; i < 3; ++i) EXPECT_LE(backoff.next(), milliseconds(400));
  EXPECT_NEAR(static_cast<double>(backoff.next().count()), 3000, 2);
  EXPECT_NEAR(static_cast<double>(backoff.next().count()), 9000, 5);
  for (int i = 0; i < 5; ++i) backoff.next();
  EXPECT_EQ(backoff.next(), milliseconds(60'000));
}

TEST(Backoff, NeverGoesBelowItsLeast) {
  Backoff backoff({}, [] { return 0.0; });
  for (int i = 0; i < 3; ++i) EXPECT_EQ(backoff.next(), milliseconds(100));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(backoff.next(), milliseconds(1000));
}

TEST(Backoff, StartsOverAfterASessionThatHeld) {
  Backoff backoff({}, [] { return 0.5; });
  for (int i = 0; i < 10; ++i) backoff.next();
  backoff.reset();
  EXPECT_LE(backoff.next(), milliseconds(400));
}

}  // namespace link_backoff_test
}  // namespace cordon::node
