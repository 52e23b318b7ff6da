#pragma once
// Failed logins slow down by (account, device): a stranger elsewhere can't lock a person out, and one who
// guesses at many accounts waits at each.

#include <cstddef>
#include <list>
#include <map>
#include <string>
#include <utility>

#include "base/ids.h"
#include "base/time.h"

namespace cordon::controller {

struct SlowDownLimits {
  unsigned free_failures = 5;  ///< the failure with this number is the first that costs a wait
  Seconds first_delay{1};      ///< doubles with each failure
  Seconds longest_delay{300};
  Seconds forgotten_after{3600};  ///< of quiet
  std::size_t entries = 10'000;   ///< the one untouched for longest goes
};

/// On one thread (the controller's strand).
class SlowDown {
 public:
  explicit SlowDown(SlowDownLimits limits = {}) : limits_(limits) {}

  /// How long to wait before an attempt; 0: now. One attempt at a time: begin() until it ended.
  Seconds wait(const std::string& account, const DeviceId& device, Timestamp now);
  void begin(const std::string& account, const DeviceId& device, Timestamp now);
  void succeeded(const std::string& account, const DeviceId& device);

  struct Failure {
    Seconds retry_after{0};
    unsigned failures = 0;
    bool begins_slow_down = false;  ///< true once, when waiting starts
  };
  Failure failed(const std::string& account, const DeviceId& device, Timestamp now);
  /// It ended without a verdict (the pool was full, storage failed): counts as nothing.
  void abandoned(const std::string& account, const DeviceId& device);

  std::size_t size() const { return entries_.size(); }

 private:
  using Key = std::pair<std::string, DeviceId>;
  struct Entry {
    unsigned failures = 0;
    bool running = false;
    Timestamp not_before{}, touched{};
    std::list<Key>::iterator place;  ///< in order_
  };

  Entry& entry(const Key& key, Timestamp now);
  void erase(std::map<Key, Entry>::iterator it);

  SlowDownLimits limits_;
  std::map<Key, Entry> entries_;
  std::list<Key> order_;  ///< touched longest ago first
};

}  // namespace cordon::controller
