#pragma once
// Flow events between the kernel's ring and the controller: bounded, no faster than the controller takes
// them, no denial uncounted, and nothing forgotten before the controller said that it has it.

#include <cstdint>
#include <deque>
#include <string>

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
  /// Of the reason alone, as the filter tells what it had no room for.
  static void make_other(FlowEvent& event);
  static std::uint64_t count(const FlowEvent& event) { return event.suppressed + 1; }
};

class FlowBuffer {
 public:
  static constexpr std::size_t kAReport = 512;  ///< flows at most
  /// `first`: reports are numbered from here. The boot clock: another run of the daemon in this boot had
  /// smaller numbers.
  explicit FlowBuffer(std::uint64_t first, std::size_t places = 1u << 13, std::size_t unacked = 1u << 13)
      : events_(places), most_unacked_(unacked), next_sequence_(first) {}

  /// Keeps the event, as FoldingQueue has it.
  void add(const FlowEvent& event) { events_.push(event); }
  /// Events that were in no report yet.
  std::size_t size() const { return events_.size(); }
  /// Happenings that nobody will be told of.
  std::uint64_t lost() const { return events_.lost() + lost_; }

  /// A session with a controller that acknowledges reports is sent those again first that weren't
  /// acknowledged. One that doesn't can't tell which it knows: they are counted as lost.
  void begin_session(bool acknowledged);
  /// The next report, their times in the controller's terms; false: none may be sent now. The controller
  /// takes 500 flows a second of a node, and 5,000 at once; with too many unacknowledged, events wait in
  /// their places. `lost_before` is what the kernel couldn't hand over.
  bool next(BootNs now, const TimeBase& base, std::uint64_t lost_before, wire::FlowReport& report);
  /// The controller has all up to this one.
  void acked(std::uint64_t sequence);

 private:
  struct Sent {
    std::uint64_t sequence = 0;
    std::size_t flows = 0;
    std::string bytes;  ///< a fifth of the parsed message
  };
  void refill(BootNs now);
  bool again(wire::FlowReport& report);

  FoldingQueue<FlowEvent, DenialFold> events_;
  BootNs refilled_ = 0;
  std::size_t allowance_ = 0;
  const std::size_t most_unacked_;  ///< flows
  std::uint64_t next_sequence_;
  bool acknowledged_ = false;
  std::deque<Sent> unacked_;
  std::size_t unacked_flows_ = 0;
  std::size_t sent_ = 0;  ///< of `unacked_`, in this session
  std::uint64_t lost_ = 0;
};

}  // namespace cordon::node
