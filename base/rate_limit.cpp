#include "base/rate_limit.h"

#include <algorithm>

namespace cordon {

double RateLimiter::left(const Bucket& bucket, Time now) const {
  const std::chrono::duration<double> passed = now - bucket.at;
  return std::min(spec_.burst, bucket.left + std::max(0.0, passed.count()) * spec_.per_second);
}

RateLimiter::Bucket& RateLimiter::bucket(const std::string& key, Time now) {
  auto found = buckets_.find(key);
  if (found == buckets_.end()) {
    if (buckets_.size() >= spec_.keys) make_room(now);
    found = buckets_.emplace(key, Bucket{.left = spec_.burst, .at = now}).first;
  }
  found->second.left = left(found->second, now);
  found->second.at = now;
  return found->second;
}

void RateLimiter::make_room(Time now) {
  std::erase_if(buckets_, [&](const auto& entry) { return left(entry.second, now) >= spec_.burst; });
  if (buckets_.size() < spec_.keys) return;
  // All are in use: forget the one that has most left, which is the least of a nuisance.
  buckets_.erase(
      std::ranges::max_element(buckets_, {}, [&](const auto& entry) { return left(entry.second, now); }));
}

bool RateLimiter::take(const std::string& key, Time now, double cost) {
  Bucket& b = bucket(key, now);
  if (b.left < cost) return false;
  b.left -= cost;
  return true;
}

void RateLimiter::penalize(const std::string& key, Time now, double cost) {
  Bucket& b = bucket(key, now);
  // A floor, so that a source is slowed for minutes at most and never locked out for good.
  b.left = std::max(b.left - cost, -spec_.burst);
}

std::chrono::milliseconds RateLimiter::wait(const std::string& key, Time now, double cost) const {
  const auto found = buckets_.find(key);
  if (found == buckets_.end()) return {};
  const double missing = cost - left(found->second, now);
  if (missing <= 0) return {};
  return std::chrono::milliseconds(static_cast<std::int64_t>(missing / spec_.per_second * 1000) + 1);
}

std::string source_key(const Address& address) {
  return address.is_v4() ? address.to_string() : Prefix::of(address, 64).to_string();
}

}  // namespace cordon
