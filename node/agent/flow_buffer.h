#pragma once
// Flow events between the kernel's ring and the controller: bounded, no faster than the controller takes
// them, and no denial uncounted.

#include <cstdint>

#include "base/folding_queue.h"
#include "base/time.h"
#include "node/filter/filter.h"

namespace cordon::wire {
class FlowReport;
}

namespace cordon::node {

/// Denials of one source and reason.
struct DenialFold {
  struct Key {
    Address source;
    FlowEvent::Kind kind{};
    std::string reason;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Key& key) const;
  };
  static std::optional<Key> key(const FlowEvent& event);
  static void add(FlowEvent& into, const FlowEvent& event) { into.suppressed += count(event); }
  static std::uint64_t count(const FlowEvent& event) { return event.suppressed + 1; }
};

class FlowBuffer {
 public:
  explicit FlowBuffer(std::size_t places = 1u << 13) : events_(places) {}

  /// Keeps the event, as FoldingQueue has it.
  void add(const FlowEvent& event) { events_.push(event); }
  bool empty() const { return events_.empty(); }
  std::size_t size() const { return events_.size(); }
  std::uint64_t lost() const { return events_.lost(); }
  /// How many may be sent now: the controller takes 500 a second of a node, and 5,000 at once.
  std::size_t due(BootNs now);

  /// Moves up to `most` events into `report`, their times in the controller's terms. `lost_before` is what
  /// the kernel couldn't hand over.
  void take(std::size_t most, const TimeBase& base, std::uint64_t lost_before, wire::FlowReport& report);

 private:
  FoldingQueue<FlowEvent, DenialFold> events_;
  BootNs refilled_ = 0;
  std::size_t allowance_ = 0;
};

}  // namespace cordon::node
