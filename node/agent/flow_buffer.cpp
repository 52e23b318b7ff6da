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

void DenialFold::make_other(FlowEvent& event) {
  event.source = event.destination = {};
  event.source_port = event.destination_port = 0;
  event.protocol = 0;
  event.rule = {};
}

void FlowBuffer::refill(BootNs now) {
  constexpr std::size_t kAtOnce = 4'000, kPerSecond = 450;
  constexpr BootNs kSecondNs = 1'000'000'000;
  if (refilled_ == 0) allowance_ = kAtOnce;
  if (const BootNs seconds = (now - refilled_) / kSecondNs; refilled_ == 0 || seconds > 0) {
    allowance_ = std::min<BootNs>(kAtOnce, allowance_ + seconds * kPerSecond);
    refilled_ = refilled_ == 0 ? now : refilled_ + seconds * kSecondNs;
  }
}

void FlowBuffer::begin_session(bool acknowledged) {
  acknowledged_ = acknowledged;
  sent_ = 0;
  if (acknowledged) return;
  wire::FlowReport report;
  for (const Sent& sent : unacked_) {
    report.ParseFromString(sent.bytes);
    for (const wire::Flow& flow : report.flows()) lost_ += flow.suppressed() + 1;
  }
  unacked_.clear();
  unacked_flows_ = 0;
}

bool FlowBuffer::again(wire::FlowReport& report) {
  const Sent& sent = unacked_[sent_];
  if (sent.flows > allowance_) return false;
  report.ParseFromString(sent.bytes);
  allowance_ -= sent.flows;
  ++sent_;
  return true;
}

bool FlowBuffer::next(BootNs now, const TimeBase& base, std::uint64_t lost_before, wire::FlowReport& report) {
  refill(now);
  if (sent_ < unacked_.size()) return again(report);
  const std::size_t room = acknowledged_ ? most_unacked_ - std::min(most_unacked_, unacked_flows_) : kAReport;
  const std::size_t most = std::min({kAReport, room, allowance_, events_.size()});
  if (most == 0) return false;
  report.Clear();
  for (std::size_t i = 0; i < most; ++i) fill(events_.pop(), base, *report.add_flows());
  report.set_lost(lost() + lost_before);
  allowance_ -= most;
  if (!acknowledged_) return true;
  report.set_sequence(next_sequence_++);
  unacked_.push_back({.sequence = report.sequence(), .flows = most, .bytes = report.SerializeAsString()});
  unacked_flows_ += most;
  ++sent_;
  return true;
}

void FlowBuffer::acked(std::uint64_t sequence) {
  while (sent_ > 0 && unacked_.front().sequence <= sequence) {
    unacked_flows_ -= unacked_.front().flows;
    unacked_.pop_front();
    --sent_;
  }
}

}  // namespace cordon::node
