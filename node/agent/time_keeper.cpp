#include "node/agent/time_keeper.h"

namespace cordon::node {
namespace {

/// Clocks that are slewed drift apart by less than this between heartbeats; a step is more.
constexpr std::int64_t kDriftNs = 50'000'000;
/// A bound that is closer by less is not worth another write of every deadline.
constexpr std::int64_t kWorthNs = 1'000'000'000;

/// Boot time at the controller's epoch, which only a step of its clock changes.
std::int64_t offset(const TimeBase& base) {
  return static_cast<std::int64_t>(base.sent_boot_ns) - to_us(base.controller_time) * 1000;
}

}  // namespace

TimeKeeper::Change TimeKeeper::observe(BootNs sent, BootNs received, Timestamp controller_time) {
  const TimeBase sample{.sent_boot_ns = sent, .controller_time = controller_time};
  if (!known_) {
    known_ = true;
    base_ = sample;
    return Change::better;
  }
  const std::int64_t kept = offset(base_);
  const std::int64_t lower = offset(sample);
  const std::int64_t upper = lower + static_cast<std::int64_t>(received - sent);
  if (kept > upper + kDriftNs || kept + kWorthNs < lower) {
    base_ = sample;
    return Change::moved;
  }
  if (kept >= lower) return Change::none;
  base_ = sample;
  return Change::better;
}

}  // namespace cordon::node
