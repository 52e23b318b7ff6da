#include "controller/distribution/flow_intake.h"

#include <algorithm>

#include "controller/core/metrics.h"
#include "controller/distribution/printable.h"
#include "controller/flows/flows.h"
#include "proto/codec.h"

namespace cordon::controller {

namespace {

constexpr std::size_t kMaxReason = 64;

std::string_view kind_name(wire::Flow::Kind kind) {
  switch (kind) {
    case wire::Flow::OPENED:
      return "opened";
    case wire::Flow::DENIED:
      return "denied";
    case wire::Flow::CLOSED:
      return "closed";
    default:
      return "underlay";
  }
}

/// Whose address behind a gateway it is, and was then. On the underlay it is the site's own.
const policy::Device* behind_then(const policy::World& world, const Address& address, Timestamp at,
                                  wire::Flow::Kind kind) {
  if (kind == wire::Flow::UNDERLAY) return nullptr;
  const policy::Device* device = policy::find_behind(world, address);
  return device != nullptr && device->enrolled_at <= at + std::chrono::seconds(1) ? device : nullptr;
}

}  // namespace

const std::string& FlowIntake::rule_name(std::uint32_t id, const policy::World& world) {
  static const std::string kNone;
  if (rule_names_.size() != world.rule_ids.size()) {
    for (const auto& [name, rule] : world.rule_ids) rule_names_.emplace(rule.value, name);
  }
  const auto found = rule_names_.find(id);
  return found == rule_names_.end() ? kNone : found->second;
}

FlowRecord FlowIntake::resolve(const DeviceId& node, const wire::Flow& flow, const AddressBook& book,
                               const policy::World& world) {
  const Timestamp now = clock_.now();
  FlowRecord out{.node = node, .kind = std::string(kind_name(flow.kind()))};
  // A node's clock may be wrong; what it says is kept only when it can be true.
  const Timestamp at = from_us(flow.at_us());
  out.at = at > now - kLatestReport && at < now + std::chrono::minutes(1) ? at : now;
  out.source = wire::decode_address(flow.source()).value_or(Address{});
  out.destination = wire::decode_address(flow.destination()).value_or(Address{});
  if (const auto* owner = book.find(out.source, out.at)) {
    out.person = owner->person;
    out.source_device = owner->device.value;
  } else if (const policy::Device* behind = behind_then(world, out.source, out.at, flow.kind())) {
    out.source_device = behind->id.value;
  } else if (flow.direction() == 1) {
    out.source_device = node.value;  // an address of nobody's, but it is this node that sends
  }
  out.direction = flow.direction() == 0 ? "ingress" : "egress";
  if (const auto* owner = book.find(out.destination, out.at))
    out.destination_device = owner->device.value;
  else if (const policy::Device* behind = behind_then(world, out.destination, out.at, flow.kind()))
    out.destination_device = behind->id.value;
  else if (flow.kind() == wire::Flow::UNDERLAY && flow.direction() == 0)
    out.destination_device = node.value;  // what came around the overlay came to who tells it
  out.protocol = static_cast<std::uint8_t>(flow.protocol());
  out.source_port = static_cast<std::uint16_t>(flow.source_port());
  out.destination_port = static_cast<std::uint16_t>(flow.destination_port());
  TargetBook::Name target =
      targets_.find(world, DeviceId(out.destination_device), out.protocol, out.destination_port);
  out.segment = std::move(target.segment);
  out.service = std::move(target.service);
  out.rule = rule_name(flow.rule(), world);
  out.reason = printable(flow.reason(), kMaxReason);
  constexpr std::uint64_t kMost = INT64_MAX;  // what the store's integers hold
  out.packets = std::min<std::uint64_t>(flow.packets(), kMost);
  out.bytes = std::min<std::uint64_t>(flow.bytes(), kMost);
  out.suppressed = std::min<std::uint64_t>(flow.suppressed(), kMost);
  return out;
}

FlowIntake::FlowIntake(Flows& store, Metrics& metrics, const Clock& clock, const DistributionLimits& limits)
    : store_(store), metrics_(metrics), clock_(clock), by_node_(limits.flows) {
  for (const FlowMark& mark : store.marks())
    taken_[mark.node] = {.boot = mark.boot, .taken = mark.sequence, .kept = mark.sequence};
}

bool FlowIntake::kept(const FlowMark& mark) {
  const auto found = taken_.find(mark.node);
  if (found == taken_.end() || found->second.boot != mark.boot) return false;
  found->second.kept = std::max(found->second.kept, mark.sequence);
  return true;
}

std::uint64_t FlowIntake::take(const DeviceId& node, const std::string& boot, const wire::FlowReport& report,
                               const AddressBook& book, const policy::World& world) {
  std::optional<FlowMark> mark;
  if (report.sequence() != 0) {
    Taken& last = taken_[node];
    if (last.boot != boot) last = {.boot = boot};
    if (report.sequence() <= last.taken) {
      metrics_.count("flow_reports_again");
      return report.sequence() <= last.kept ? last.kept : 0;
    }
    last.taken = report.sequence();
    mark = {.node = node, .boot = boot, .sequence = report.sequence()};
  }
  std::vector<FlowRecord> flows;
  const auto now = RateLimiter::Time::clock::now();
  for (const wire::Flow& flow : report.flows()) {
    if (!by_node_.take(node.value, now)) {
      metrics_.count("flows_dropped", "rate", static_cast<std::uint64_t>(report.flows_size()) - flows.size());
      break;
    }
    flows.push_back(resolve(node, flow, book, world));
  }
  if (!flows.empty() || mark) store_.add(std::move(flows), std::move(mark));
  return 0;
}

}  // namespace cordon::controller
