#pragma once
// The ring buffer of events.

#include <functional>
#include <memory>

#include "base/result.h"
#include "node/filter/filter.h"

struct ring_buffer;

namespace cordon::node {

class EventRing {
 public:
  static Result<EventRing> open(int map_fd);

  int fd() const;
  /// What waits, in order, but not more than a few thousand: who floods us with events doesn't keep us from
  /// other work. The descriptor stays readable while there is more.
  void take(const std::function<void(const FlowEvent&)>& sink);

 private:
  struct Free {
    void operator()(ring_buffer* ring) const;
  };
  struct Sink;
  std::unique_ptr<Sink> sink_;  // its address is what the ring's callback gets
  std::unique_ptr<ring_buffer, Free> ring_;

 public:
  EventRing();
  EventRing(EventRing&&) noexcept;
  ~EventRing();
};

}  // namespace cordon::node
