#include "node/filter/replay.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <unordered_set>

#include "node/filter/reasons.h"
#include "node/filter/replay_packet.h"
#include "policy/compile.h"

namespace cordon::node {
namespace {

using policy::Direction;

/// Each holds maps and programs of its own in the kernel, and with them some 25 descriptors.
constexpr std::size_t kMostNodes = 1000;
/// By all of them together; each takes about 150 bytes of the kernel's memory.
constexpr std::size_t kMostFlows = 4'000'000;
constexpr rlim_t kDescriptorsPerNode = 32, kOtherDescriptors = 256;

constexpr const char* kSplit = "split it, for example by `tcpdump -r CAPTURE -w PART net 100.64.1.0/24`";

void allow_descriptors(std::size_t nodes) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t needed = nodes * kDescriptorsPerNode + kOtherDescriptors;
  if (limit.rlim_cur >= needed) return;
  limit.rlim_cur = needed;
  limit.rlim_max = std::max(limit.rlim_max, needed);
  ::setrlimit(RLIMIT_NOFILE, &limit);  // where it can't be raised, loading tells so
}

void add_owner(std::unordered_map<Address, const DeviceId*>& owners,
               const policy::OverlayAddresses& addresses, const DeviceId& device) {
  for (const Address& address : {addresses.v4, addresses.v6})
    if (!address.is_unspecified()) owners.emplace(address, &device);
}

}  // namespace

Replay::Replay(const policy::World& world, Timestamp at) : world_(world), at_(at) {
  for (const auto& [id, device] : world.devices)
    if (device.state == policy::DeviceState::active) add_owner(owners_, device.addresses, id);
  for (const auto& [id, session] : world.sessions)
    if (const auto device = world.devices.find(session.device);
        device != world.devices.end() && device->second.state == policy::DeviceState::active)
      add_owner(owners_, session.addresses, device->first);
  for (const auto& [name, id] : world.rule_ids) rule_names_.emplace(id, &name);
}

Replay::~Replay() = default;

const DeviceId* Replay::owner_of(const Address& address) const {
  const auto found = owners_.find(address);
  return found == owners_.end() ? nullptr : found->second;
}

Result<> Replay::prepare(Capture capture) {
  CORDON_TRY(ReplayNode::check_privileges());
  std::map<DeviceId, std::unordered_set<std::uint64_t>> flows;
  std::size_t all_flows = 0;
  for (;;) {
    const auto packet = capture.next();
    if (!packet || !*packet) break;  // where it is cut is told by run()
    const auto ip = ip_packet(**packet, capture.link());
    if (!ip) continue;
    for (const Address& address : {ip->source, ip->destination})
      if (const DeviceId* owner = owner_of(address))
        all_flows += flows[*owner].insert(flow_hash(*ip)).second ? 1u : 0u;
    if (all_flows > kMostFlows)
      return fail(
          ErrorCode::exhausted,
          fmt::format("the capture has more than {} million flows at its nodes", kMostFlows / 1'000'000),
          kSplit);
  }
  for (const auto& [id, of_node] : flows) nodes_[id].flows = of_node.size();
  if (nodes_.size() > kMostNodes)
    return fail(ErrorCode::exhausted,
                fmt::format("the capture passes {} nodes; {} are held at once", nodes_.size(), kMostNodes),
                kSplit);
  allow_descriptors(nodes_.size());
  return {};
}

Result<ReplayNode::Verdict> Replay::decide(const DeviceId& id, Direction direction, const IpPacket& packet) {
  Node& node = nodes_[id];
  if (!node.kernel) {
    auto loaded = ReplayNode::load(policy::compile_node(world_, id, at_), at_, node.flows);
    if (!loaded)
      return std::unexpected(in_context(loaded.error(), fmt::format("loading the node of {}", id.value)));
    node.kernel = std::move(*loaded);
  }
  return node.kernel->run(direction, packet.bytes, packet.source);
}

Result<ReplayedPacket> Replay::replay(const IpPacket& packet) {
  ReplayedPacket out;
  const auto take = [&](const ReplayNode::Verdict& verdict) {
    out.accept = verdict.accept;
    out.reason = verdict.reason;
    const auto name = rule_names_.find(verdict.rule);
    out.rule = name == rule_names_.end() ? std::string() : *name->second;
  };
  const DeviceId* source = owner_of(packet.source);
  if (source == nullptr) {
    out.reason = reason_name(CORDON_REASON_unknown_principal);
    return out;
  }
  CORDON_ASSIGN(const auto leaving, decide(*source, Direction::egress, packet));
  take(leaving);
  if (!out.accept) return out;
  const DeviceId* destination = owner_of(packet.destination);
  if (destination == nullptr) {
    out = {.reason = reason_name(CORDON_REASON_unknown_target)};
    return out;
  }
  out.where = Direction::ingress;
  CORDON_ASSIGN(const auto arriving, decide(*destination, Direction::ingress, packet));
  take(arriving);
  return out;
}

Result<> Replay::run(Capture capture, const std::function<Result<>(const ReplayedPacket&)>& sink) {
  for (;;) {
    CORDON_ASSIGN(const auto packet, capture.next());
    if (!packet) return {};
    const auto ip = ip_packet(*packet, capture.link());
    ReplayedPacket done;
    if (ip) {
      CORDON_ASSIGN(done, replay(*ip));
    } else {
      done.reason = ip.error();
    }
    done.packet = totals_.packets++;
    ++(done.accept ? totals_.accepted : totals_.dropped);
    if (!done.reason.empty()) ++totals_.reasons[std::string(done.reason)];
    if (!done.rule.empty()) ++totals_.rules[done.rule];
    CORDON_TRY(sink(done));
  }
}

}  // namespace cordon::node
