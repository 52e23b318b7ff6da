#include "controller/distribution/address_book.h"

#include "controller/world/kinds.h"
#include "policy/coverage.h"
#include "policy/evaluate.h"

namespace cordon::controller {

namespace {

constexpr std::size_t kMostAddresses = 1'000'000;  // past them people are told by the log alone
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

AddressBook::AddressBook(const policy::World& world) {
  for (const auto& [id, device] : world.devices) add(device.addresses, {.device = id});
  for (const auto& [id, session] : world.sessions) {
    add(session.addresses, {.device = session.device,
                            .person = session.user.value,
                            .since = session.authenticated_at.value_or(Timestamp{})});
  }
}

void AddressBook::add(const policy::OverlayAddresses& addresses, const Owner& owner) {
  for (const Address& address : {addresses.v4, addresses.v6}) {
    if (address.is_unspecified()) continue;
    const auto known = owners_.find(address);
    if (known == owners_.end()) {
      if (owners_.size() < kMostAddresses) owners_.emplace(address, owner);
      continue;
    }
    if (before_.size() < kMostAddresses) before_[address] = std::move(known->second);
    known->second = owner;
  }
}

void AddressBook::update(const Record& record, const policy::World& world) {
  const auto kind = kinds::decode(record.kind, record.version, record.payload);
  if (!kind) return;
  if (const auto* opened = std::get_if<kinds::SessionOpened>(&*kind)) {
    const auto session = world.sessions.find(opened->session.id);
    if (session == world.sessions.end()) return;
    add(session->second.addresses,
        {.device = session->second.device, .person = session->second.user.value, .since = record.at});
    return;
  }
  DeviceId id;
  if (const auto* enrolled = std::get_if<kinds::DeviceEnrolled>(&*kind)) id = enrolled->device;
  if (const auto* approved = std::get_if<kinds::DeviceApproved>(&*kind)) id = approved->device;
  const auto device = world.devices.find(id);
  if (device != world.devices.end()) add(device->second.addresses, {.device = id, .since = record.at});
}

const AddressBook::Owner* AddressBook::find(const Address& address, Timestamp at) const {
  const auto had = [&](const std::unordered_map<Address, Owner>& owners) -> const Owner* {
    const auto found = owners.find(address);
    return found == owners.end() || found->second.since > at + kClocksDiffer ? nullptr : &found->second;
  };
  const Owner* owner = had(owners_);
  return owner != nullptr ? owner : had(before_);
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
