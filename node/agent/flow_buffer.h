#pragma once
// Flow events between the kernel's ring and the controller: bounded, and what was lost is counted.

#include <cstdint>
#include <deque>
#include <vector>

#include "base/time.h"
#include "node/filter/filter.h"

namespace cordon::wire {
class FlowReport;
}

namespace cordon::node {

class FlowBuffer {
 public:
  explicit FlowBuffer(std::size_t most = 1u << 14) : most_(most) {}

  /// Keeps the event; when full the oldest goes and is counted as lost.
  void add(const FlowEvent& event);
  bool empty() const { return events_.empty(); }
  std::size_t size() const { return events_.size(); }
  std::uint64_t lost() const { return lost_; }

  /// Moves up to `most` events into `report`, their times in the controller's terms. `lost_before` is what
  /// the kernel couldn't hand over.
  void take(std::size_t most, const TimeBase& base, std::uint64_t lost_before, wire::FlowReport& report);

 private:
  std::size_t most_;
  std::deque<FlowEvent> events_;
  std::uint64_t lost_ = 0;
};

}  // namespace cordon::node
