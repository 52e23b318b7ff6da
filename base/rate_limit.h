#pragma once
// Token buckets by key, bounded in number: strangers can't fill the memory, the busiest stay slowed down.

#include <chrono>
#include <cstddef>
#include <map>
#include <string>

#include "base/address.h"

namespace cordon {

struct RateLimitSpec {
  double burst = 10;        ///< taken at once at most
  double per_second = 1;    ///< given back
  std::size_t keys = 4096;  ///< remembered at most; full buckets are forgotten first
};

class RateLimiter {
 public:
  using Time = std::chrono::steady_clock::time_point;
  explicit RateLimiter(RateLimitSpec spec) : spec_(spec) {}

  /// Takes `cost` from the key's bucket; false: there is not enough, nothing is taken.
  bool take(const std::string& key, Time now, double cost = 1);
  /// Takes even what isn't there: a failure that slows its source down.
  void penalize(const std::string& key, Time now, double cost);
  /// Until `cost` is there again; zero: now.
  std::chrono::milliseconds wait(const std::string& key, Time now, double cost = 1) const;

 private:
  struct Bucket {
    double left = 0;
    Time at{};
  };
  double left(const Bucket& bucket, Time now) const;
  Bucket& bucket(const std::string& key, Time now);
  void make_room(Time now);

  RateLimitSpec spec_;
  std::map<std::string, Bucket> buckets_;
};

/// One key for those who share a line: an IPv4 address, or an IPv6 /64.
std::string source_key(const Address& address);

}  // namespace cordon
