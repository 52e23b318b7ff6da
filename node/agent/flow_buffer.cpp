#include "node/agent/flow_buffer.h"

#include <algorithm>

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

std::size_t DenialFold::Hash::operator()(const Key& key) const {
  return std::hash<Address>{}(key.source) ^ (std::hash<std::string>{}(key.reason) << 1);
}

std::optional<DenialFold::Key> DenialFold::key(const FlowEvent& event) {
  if (event.kind != FlowEvent::Kind::denied && event.kind != FlowEvent::Kind::underlay) return std::nullopt;
  return Key{.source = event.source, .kind = event.kind, .reason = event.reason};
}

std::size_t FlowBuffer::due(BootNs now) {
  constexpr std::size_t kAtOnce = 4'000, kPerSecond = 450;
  constexpr BootNs kSecondNs = 1'000'000'000;
  if (refilled_ == 0) allowance_ = kAtOnce;
  if (const BootNs seconds = (now - refilled_) / kSecondNs; refilled_ == 0 || seconds > 0) {
    allowance_ = std::min<BootNs>(kAtOnce, allowance_ + seconds * kPerSecond);
    refilled_ = refilled_ == 0 ? now : refilled_ + seconds * kSecondNs;
  }
  return std::min(allowance_, events_.size());
}

void FlowBuffer::take(std::size_t most, const TimeBase& base, std::uint64_t lost_before,
                      wire::FlowReport& report) {
  for (std::size_t i = 0; i < most && !events_.empty(); ++i) {
    fill(events_.pop(), base, *report.add_flows());
    if (allowance_ > 0) --allowance_;
  }
  report.set_lost(lost() + lost_before);
}

}  // namespace cordon::node
