#include "controller/distribution/address_book.h"

#include <ranges>

#include "controller/world/kinds.h"
#include "policy/coverage.h"
#include "policy/evaluate.h"

namespace cordon::controller {

namespace {

constexpr std::size_t kMostNamedTargets = 100'000;
// A node's times are reckoned from the controller's: off by a message's way.
constexpr auto kClocksDiffer = std::chrono::seconds(1);

/// What reports have where a grant has a port: an ICMP flow begins with an echo request.
std::uint16_t asked_port(std::uint8_t protocol, std::uint16_t port) {
  constexpr std::uint16_t kEchoRequest = 8, kEchoRequest6 = 128;
  if (protocol == policy::kIcmp) return kEchoRequest;
  return protocol == policy::kIcmpv6 ? kEchoRequest6 : port;
}

}  // namespace

AddressBook::AddressBook(const policy::World& world, std::size_t most) : most_(most) {
  for (const auto& [id, device] : world.devices) add(device.addresses, {.device = id}, kNever);
  for (const auto& [id, session] : world.sessions) {
    add(session.addresses,
        {.device = session.device,
         .person = session.user.value,
         .since = session.authenticated_at.value_or(Timestamp{})},
        session.ends_at);
  }
}

void AddressBook::add(const policy::OverlayAddresses& addresses, const Owner& owner, Timestamp until) {
  for (const Address& address : {addresses.v4, addresses.v6}) {
    if (address.is_unspecified()) continue;
    while (size_ >= most_ && !due_.empty()) forget_next();
    if (size_ >= most_) return;
    std::vector<Had>& all = owners_[address];
    if (!all.empty() && all.back().until > owner.since) {
      all.back().until = owner.since;
      due_.emplace(owner.since + kLatestReport, address);
    }
    all.push_back({.owner = owner, .until = until});
    ++size_;
    if (until != kNever) due_.emplace(until + kLatestReport, address);
  }
}

void AddressBook::forget(Timestamp now) {
  while (!due_.empty() && due_.top().first <= now) forget_next();
}

/// Nothing, where they were forgotten before.
void AddressBook::forget_next() {
  const auto [due, address] = due_.top();
  due_.pop();
  const auto known = owners_.find(address);
  if (known == owners_.end()) return;
  size_ -= std::erase_if(known->second, [&](const Had& had) { return had.until <= due - kLatestReport; });
  if (known->second.empty()) owners_.erase(known);
}

void AddressBook::update(const Record& record, const policy::World& world) {
  forget(record.at);
  const auto kind = kinds::decode(record.kind, record.version, record.payload);
  if (!kind) return;
  if (const auto* opened = std::get_if<kinds::SessionOpened>(&*kind)) {
    const auto session = world.sessions.find(opened->session.id);
    if (session == world.sessions.end()) return;
    add(session->second.addresses,
        {.device = session->second.device, .person = session->second.user.value, .since = record.at},
        session->second.ends_at);
    return;
  }
  DeviceId id;
  if (const auto* enrolled = std::get_if<kinds::DeviceEnrolled>(&*kind)) id = enrolled->device;
  if (const auto* approved = std::get_if<kinds::DeviceApproved>(&*kind)) id = approved->device;
  const auto device = world.devices.find(id);
  if (device != world.devices.end())
    add(device->second.addresses, {.device = id, .since = record.at}, kNever);
}

const AddressBook::Owner* AddressBook::find(const Address& address, Timestamp at) const {
  const auto known = owners_.find(address);
  if (known == owners_.end()) return nullptr;
  for (const Had& had : std::ranges::reverse_view(known->second))
    if (had.owner.since <= at + kClocksDiffer) return &had.owner;
  return nullptr;
}

const std::vector<std::string>& TargetBook::segments_of(const policy::World& world,
                                                        const policy::Device& device) {
  if (entries_.size() >= kMostNamedTargets) entries_.clear();
  Entry& entry = entries_[device.id];
  if (entry.policy != world.policy || entry.tags != device.tags || entry.state != device.state) {
    const auto names = policy::segments_of(world, device);
    entry = {.policy = world.policy,
             .tags = device.tags,
             .state = device.state,
             .segments = {names.begin(), names.end()}};
  }
  return entry.segments;
}

TargetBook::Name TargetBook::find(const policy::World& world, const DeviceId& id, std::uint8_t protocol,
                                  std::uint16_t port) {
  const auto device = world.devices.find(id);
  if (device == world.devices.end()) return {};
  Name all;
  for (const std::string& name : segments_of(world, device->second)) {
    for (const auto& [service, accesses] : world.policy->segments.at(name).services)
      for (const policy::Access& access : accesses)
        if (policy::covers(access, protocol, asked_port(protocol, port)))
          return {.segment = name, .service = service};
    all.segment += (all.segment.empty() ? "" : ",") + name;
  }
  return all;
}

}  // namespace cordon::controller
