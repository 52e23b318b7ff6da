#include "node/filter/events.h"

#include <bpf/libbpf.h>

#include <cerrno>

#include "ebpf/abi.h"
#include "node/filter/image.h"
#include "node/filter/reasons.h"

namespace cordon::node {
namespace {

constexpr std::size_t kMostAtOnce = 4096;

FlowEvent decode(const cordon_event& raw) {
  FlowEvent event;
  switch (raw.kind) {
    case CORDON_EVENT_DENIED:
      event.kind = FlowEvent::Kind::denied;
      break;
    case CORDON_EVENT_CLOSED:
      event.kind = FlowEvent::Kind::closed;
      break;
    case CORDON_EVENT_UNDERLAY:
      event.kind = FlowEvent::Kind::underlay;
      break;
    default:
      event.kind = FlowEvent::Kind::opened;
      break;
  }
  event.at = raw.at_ns;
  event.source = from_abi(raw.source);
  event.destination = from_abi(raw.destination);
  event.protocol = raw.protocol;
  event.source_port = raw.source_port;
  event.destination_port = raw.destination_port;
  event.rule = RuleId(raw.rule);
  event.reason = reason_name(raw.reason);
  event.direction = raw.direction == CORDON_EGRESS ? policy::Direction::egress : policy::Direction::ingress;
  event.packets = raw.packets;
  event.bytes = raw.bytes;
  event.suppressed = raw.suppressed;
  return event;
}

}  // namespace

struct EventRing::Sink {
  const std::function<void(const FlowEvent&)>* call = nullptr;
  std::size_t taken = 0;

  static int on_sample(void* context, void* data, std::size_t size) {
    auto* self = static_cast<Sink*>(context);
    if (size >= sizeof(cordon_event) && self->call != nullptr)
      (*self->call)(decode(*static_cast<const cordon_event*>(data)));
    return ++self->taken < kMostAtOnce ? 0 : -ECANCELED;  // this one is taken, the rest stays
  }
};

EventRing::EventRing() : sink_(std::make_unique<Sink>()) {}
EventRing::EventRing(EventRing&&) noexcept = default;
EventRing::~EventRing() = default;

void EventRing::Free::operator()(ring_buffer* ring) const {
  ring_buffer__free(ring);
}

Result<EventRing> EventRing::open(int map_fd) {
  EventRing out;
  out.ring_.reset(ring_buffer__new(map_fd, Sink::on_sample, out.sink_.get(), nullptr));
  if (!out.ring_) return fail_errno("can't open the ring of events", errno);
  return out;
}

int EventRing::fd() const {
  return ring_buffer__epoll_fd(ring_.get());
}

void EventRing::take(const std::function<void(const FlowEvent&)>& sink) {
  sink_->call = &sink;
  sink_->taken = 0;
  ring_buffer__consume(ring_.get());
  sink_->call = nullptr;
}

}  // namespace cordon::node
