#include "node/agent/flow_buffer.h"

#include "proto/codec.h"
#include "proto/cordon.pb.h"

namespace cordon::node {
namespace {

wire::Flow::Kind to_wire(FlowEvent::Kind kind) {
  switch (kind) {
    case FlowEvent::Kind::opened:
      return wire::Flow::OPENED;
    case FlowEvent::Kind::denied:
      return wire::Flow::DENIED;
    case FlowEvent::Kind::closed:
      return wire::Flow::CLOSED;
    case FlowEvent::Kind::underlay:
      return wire::Flow::UNDERLAY;
  }
  return wire::Flow::OPENED;
}

void fill(const FlowEvent& event, const TimeBase& base, wire::Flow& flow) {
  flow.set_kind(to_wire(event.kind));
  flow.set_at_us(to_us(base.to_utc(event.at)));
  flow.set_source(wire::encode_address(event.source));
  flow.set_destination(wire::encode_address(event.destination));
  flow.set_protocol(event.protocol);
  flow.set_source_port(event.source_port);
  flow.set_destination_port(event.destination_port);
  flow.set_rule(event.rule.value);
  flow.set_reason(event.reason);
  flow.set_direction(static_cast<std::uint32_t>(event.direction));
  flow.set_packets(event.packets);
  flow.set_bytes(event.bytes);
  flow.set_suppressed(event.suppressed);
}

}  // namespace

void FlowBuffer::add(const FlowEvent& event) {
  if (events_.size() >= most_) {
    events_.pop_front();
    ++lost_;
  }
  events_.push_back(event);
}

void FlowBuffer::take(std::size_t most, const TimeBase& base, std::uint64_t lost_before,
                      wire::FlowReport& report) {
  for (std::size_t i = 0; i < most && !events_.empty(); ++i) {
    fill(events_.front(), base, *report.add_flows());
    events_.pop_front();
  }
  report.set_lost(lost_ + lost_before);
}

}  // namespace cordon::node
