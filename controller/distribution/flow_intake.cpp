#include "controller/distribution/flow_intake.h"

#include <algorithm>

#include "base/log.h"
#include "controller/core/metrics.h"
#include "controller/distribution/printable.h"
#include "controller/world/kinds.h"
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

}  // namespace

AddressBook::AddressBook(const policy::World& world) {
  for (const auto& [id, device] : world.devices) add(device.addresses, {.device = id});
  for (const auto& [id, session] : world.sessions) {
    add(session.addresses, {.device = session.device, .person = session.user.value});
  }
}

void AddressBook::add(const policy::OverlayAddresses& addresses, Owner owner) {
  constexpr std::size_t kMost = 1'000'000;
  if (owners_.size() >= kMost) return;  // then people are told by the log alone
  for (const Address& address : {addresses.v4, addresses.v6}) {
    if (!address.is_unspecified()) owners_[address] = owner;
  }
}

void AddressBook::update(const Record& record, const policy::World& world) {
  const auto kind = kinds::decode(record.kind, record.version, record.payload);
  if (!kind) return;
  if (const auto* opened = std::get_if<kinds::SessionOpened>(&*kind)) {
    const auto session = world.sessions.find(opened->session.id);
    if (session == world.sessions.end()) return;
    add(session->second.addresses, {.device = session->second.device, .person = session->second.user.value});
    return;
  }
  DeviceId id;
  if (const auto* enrolled = std::get_if<kinds::DeviceEnrolled>(&*kind)) id = enrolled->device;
  if (const auto* approved = std::get_if<kinds::DeviceApproved>(&*kind)) id = approved->device;
  const auto device = world.devices.find(id);
  if (device != world.devices.end()) add(device->second.addresses, {.device = id});
}

const AddressBook::Owner* AddressBook::find(const Address& address) const {
  const auto found = owners_.find(address);
  return found == owners_.end() ? nullptr : &found->second;
}

const std::string& FlowIntake::rule_name(std::uint32_t id, const policy::World& world) {
  static const std::string kNone;
  if (rule_names_.size() != world.rule_ids.size()) {
    for (const auto& [name, rule] : world.rule_ids) rule_names_.emplace(rule.value, name);
  }
  const auto found = rule_names_.find(id);
  return found == rule_names_.end() ? kNone : found->second;
}

FlowRecord FlowIntake::resolve(const DeviceId& node, const wire::Flow& flow, const AddressBook& book) {
  const Timestamp now = clock_.now();
  FlowRecord out{.node = node, .kind = std::string(kind_name(flow.kind()))};
  // A node's clock may be wrong; what it says is kept only when it can be true.
  const Timestamp at = from_us(flow.at_us());
  out.at = at > now - std::chrono::hours(24) && at < now + std::chrono::minutes(1) ? at : now;
  out.source = wire::decode_address(flow.source()).value_or(Address{});
  out.destination = wire::decode_address(flow.destination()).value_or(Address{});
  if (const auto* owner = book.find(out.source)) {
    out.person = owner->person;
    out.source_device = owner->device.value;
  }
  if (const auto* owner = book.find(out.destination)) out.destination_device = owner->device.value;
  out.protocol = static_cast<std::uint8_t>(flow.protocol());
  out.source_port = static_cast<std::uint16_t>(flow.source_port());
  out.destination_port = static_cast<std::uint16_t>(flow.destination_port());
  out.reason = printable(flow.reason(), kMaxReason);
  out.direction = flow.direction() == 0 ? "ingress" : "egress";
  constexpr std::uint64_t kMost = INT64_MAX;  // what the store's integers hold
  out.packets = std::min<std::uint64_t>(flow.packets(), kMost);
  out.bytes = std::min<std::uint64_t>(flow.bytes(), kMost);
  out.suppressed = std::min<std::uint64_t>(flow.suppressed(), kMost);
  return out;
}

void FlowIntake::take(const DeviceId& node, const wire::FlowReport& report, const AddressBook& book,
                      const policy::World& world) {
  std::vector<FlowRecord> flows;
  const auto now = RateLimiter::Time::clock::now();
  for (const wire::Flow& flow : report.flows()) {
    if (!by_node_.take(node.value, now)) {
      metrics_.count("flows_dropped", "rate", static_cast<std::uint64_t>(report.flows_size()) - flows.size());
      break;
    }
    flows.push_back(resolve(node, flow, book));
    flows.back().rule = rule_name(flow.rule(), world);
  }
  if (flows.empty()) return;
  metrics_.count("flows", {}, flows.size());
  if (const auto added = store_.add(flows); !added) {
    metrics_.count("flows_dropped", "storage", flows.size());
    log::warning("controller.flows", "can't keep flow records: {}", added.error().message());
  }
}

}  // namespace cordon::controller
