#include "controller/identity/slow_down.h"

#include <algorithm>

namespace cordon::controller {

void SlowDown::erase(std::map<Key, Entry>::iterator it) {
  order_.erase(it->second.place);
  entries_.erase(it);
}

SlowDown::Entry& SlowDown::entry(const Key& key, Timestamp now) {
  auto it = entries_.find(key);
  if (it == entries_.end()) {
    if (entries_.size() >= limits_.entries) erase(entries_.find(order_.front()));
    it = entries_.emplace(key, Entry{}).first;
    it->second.place = order_.insert(order_.end(), key);
  }
  order_.splice(order_.end(), order_, it->second.place);
  it->second.touched = now;
  return it->second;
}

Seconds SlowDown::wait(const std::string& account, const DeviceId& device, Timestamp now) {
  const auto it = entries_.find({account, device});
  if (it == entries_.end()) return Seconds{0};
  const Entry& known = it->second;
  if (known.running) return limits_.first_delay;
  if (known.not_before > now) return std::chrono::ceil<Seconds>(known.not_before - now);
  if (now - std::max(known.touched, known.not_before) > limits_.forgotten_after) erase(it);
  return Seconds{0};
}

void SlowDown::begin(const std::string& account, const DeviceId& device, Timestamp now) {
  entry({account, device}, now).running = true;
}

void SlowDown::succeeded(const std::string& account, const DeviceId& device) {
  if (const auto it = entries_.find({account, device}); it != entries_.end()) erase(it);
}

void SlowDown::abandoned(const std::string& account, const DeviceId& device) {
  const auto it = entries_.find({account, device});
  if (it == entries_.end()) return;
  it->second.running = false;
  if (it->second.failures == 0) erase(it);
}

SlowDown::Failure SlowDown::failed(const std::string& account, const DeviceId& device, Timestamp now) {
  Entry& known = entry({account, device}, now);
  known.running = false;
  ++known.failures;
  Failure answer{.failures = known.failures};
  if (known.failures < limits_.free_failures) return answer;
  const unsigned doublings = std::min(known.failures - limits_.free_failures, 30u);
  answer.retry_after = std::min(limits_.longest_delay, Seconds{limits_.first_delay.count() << doublings});
  answer.begins_slow_down = known.failures == limits_.free_failures;
  known.not_before = now + answer.retry_after;
  return answer;
}

}  // namespace cordon::controller
