#include "base/rate_limit.h"

#include <gtest/gtest.h>

namespace cordon {
namespace rate_limit_test {

TEST(RateLimiter, GivesBackWithTimeAndIsBounded) {
  RateLimiter limiter({.burst = 2, .per_second = 1, .keys = 3});
  RateLimiter::Time now{};
  EXPECT_TRUE(limiter.take("a", now) && limiter.take("a", now));
  EXPECT_FALSE(limiter.take("a", now));
  EXPECT_GT(limiter.wait("a", now).count(), 0);
  EXPECT_TRUE(limiter.take("a", now + std::chrono::seconds(1)));
  limiter.penalize("a", now + std::chrono::seconds(1), 100);
  EXPECT_FALSE(limiter.take("a", now + std::chrono::seconds(2)));
  EXPECT_TRUE(limiter.take("a", now + std::chrono::seconds(10))) << "not for good";
  for (int i = 0; i < 100; ++i) limiter.take("k" + std::to_string(i), now);
  EXPECT_EQ(source_key(Address::parse("2001:db8::1").value()),
            source_key(Address::parse("2001:db8::2").value()));
  EXPECT_NE(source_key(Address::parse("192.0.2.1").value()), source_key(Address::parse("192.0.2.2").value()));
}

}  // namespace rate_limit_test
}  // namespace cordon
