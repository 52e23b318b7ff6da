// I2, end to end: random worlds (policies, devices, sessions) are compiled, their states put into the kernel,
// random packets (most of them wrong in some way) are run through its programs, and what it says is what
// policy::evaluate says of the question that a plain reading of the packet asks, at both ends. CORDON_LONG=1
// runs a hundred times as many, CORDON_PAIRS says how many (an emulated machine takes its time).

#include "policy/evaluate.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "policy/compile.h"
#include "tests/bpf/fixture.h"
#include "tests/bpf/packet_gen.h"
#include "tests/bpf/reading.h"
#include "tests/support/world_gen.h"

namespace cordon::test {
namespace oracle_test {

constexpr std::uint64_t kPairs = 200'000, kLongPairs = 20'000'000;
constexpr int kPacketsPerNode = 1500;

std::uint64_t wanted_pairs() {
  if (const char* some = std::getenv("CORDON_PAIRS")) return std::strtoull(some, nullptr, 10);
  return std::getenv("CORDON_LONG") != nullptr ? kLongPairs : kPairs;
}

class OracleTest : public FilterTest {
 protected:
  OracleTest() : FilterTest(kOverlayPrograms) {}
  struct Asker {
    policy::PrincipalRef who;
    policy::OverlayAddresses addresses;
    DeviceId device;
  };
  struct Node {
    const policy::World& world;
    DeviceId id;
    std::map<Address, Asker> by_address;
    std::map<Address, DeviceId> devices;  ///< by an address of each

    /// Whose address it is: a device's own, or one of a prefix behind a gateway.
    const DeviceId* target(const Address& address) const {
      if (const auto found = devices.find(address); found != devices.end()) return &found->second;
      for (const auto& [device, value] : world.devices)
        if (std::ranges::any_of(value.prefixes, [&](const Prefix& p) { return p.contains(address); }))
          return &device;
      return nullptr;
    }
  };
  enum class Answer { deny, allow, either };

  static Node node_of(const policy::World& world, const DeviceId& id) {
    Node node{.world = world, .id = id, .by_address = {}, .devices = {}};
    const auto add = [&](const Asker& asker) {
      node.by_address.emplace(asker.addresses.v4, asker);
      node.by_address.emplace(asker.addresses.v6, asker);
    };
    for (const auto& [session, value] : world.sessions) add({session, value.addresses, value.device});
    for (const auto& [device, value] : world.devices) {
      if (!value.is_behind()) add({device, value.addresses, device});
      const auto at = target_addresses(value);
      for (const Address& address : {at.v4, at.v6})
        if (!address.is_unspecified()) node.devices.emplace(address, device);
    }
    return node;
  }

  /// What the policy says of one tuple that passes this hook of the node. Only the target's node and the
  /// asker's are told of a grant, and nobody asks himself over the overlay: elsewhere the kernel may say no.
  static Answer ask(const Node& node, bool egress, const Address& source, const Address& destination,
                    std::uint8_t protocol, std::uint16_t port) {
    const auto asker = node.by_address.find(source);
    const DeviceId* target = node.target(destination);
    if (asker == node.by_address.end() || target == nullptr) return Answer::deny;
    const auto decision = policy::evaluate(
        node.world, {.principal = asker->second.who, .target = *target, .protocol = protocol, .port = port},
        kNow);
    if (decision.verdict != policy::Verdict::allow) return decision.observed ? Answer::either : Answer::deny;
    const DeviceId& target_node = test::node_of(node.world.devices.at(*target));
    const bool enforced = (egress ? asker->second.device : target_node) == node.id;
    return enforced && asker->second.device != target_node ? Answer::allow : Answer::either;
  }

  static Answer expected(const Node& node, bool egress, const Packet& packet) {
    const Reading r = read_packet(packet);
    if (r.kind != Reading::Kind::whole) return Answer::deny;
    const Answer own = ask(node, egress, r.source, r.destination, r.protocol, r.asks_port);
    if (own == Answer::allow || r.protocol != policy::kTcp || r.bare_syn) return own;
    const Answer answer = ask(node, !egress, r.destination, r.source, policy::kTcp, r.source_port);
    return answer == Answer::deny ? own : answer;
  }

  /// One packet as the first that this node sees.
  bool first_packet(bool egress, const Packet& packet) {
    const bool accepted = accepts(egress ? "overlay_out" : "overlay_in", packet);
    if (!accepted) return false;
    forget_flows();
    forget("fragments");
    return true;
  }

  /// Some of what is granted ends a second after kNow, and a machine may be slow: then the state is written
  /// anew, as of kNow, and the packet asked about once more.
  bool agrees_in_time(const Node& node, bool egress, const Packet& packet) {
    if (agrees(node, egress, packet)) return true;
    if (std::chrono::steady_clock::now() - written_at_ < std::chrono::milliseconds(500)) return false;
    write_now();
    return agrees(node, egress, packet);
  }
  void write_now() {
    written_at_ = std::chrono::steady_clock::now();
    write();
  }

  bool agrees(const Node& node, bool egress, const Packet& packet) {
    const Answer answer = expected(node, egress, packet);
    const bool accepted = first_packet(egress, packet);
    ++(accepted ? accepted_ : dropped_);
    return answer == Answer::either || accepted == (answer == Answer::allow);
  }

  std::string complain(const Node& node, bool egress, const Packet& packet) {
    const Packet least = shrink(packet, [&](const Packet& p) { return !agrees(node, egress, p); });
    const Reading r = read_packet(least);
    const Verdict kernel = run(egress ? "overlay_out" : "overlay_in", least);
    const bool allow = expected(node, egress, least) == Answer::allow;
    return fmt::format(
        "at {} of {}: the kernel {} (reason '{}', rule {}), the policy {}\n{} > {} protocol {} ports {} > "
        "{}, "
        "kind {}\n{}",
        egress ? "egress" : "ingress", node.id.value, kernel.accept ? "accepts" : "drops", kernel.reason,
        kernel.rule.value, allow ? "allows" : "denies", r.source.to_string(), r.destination.to_string(),
        r.protocol, r.source_port, r.destination_port, static_cast<int>(r.kind), hex_lines(least));
  }

  /// An address of the family: of a device, or of anybody; of this node, or of any.
  static Address somebody(WorldGen& gen, const Node& node, bool v4, bool a_device, bool own) {
    std::vector<Address> candidates;
    const auto add = [&](const Address& address, const DeviceId& where) {
      if (address.is_v4() == v4 && (!own || where == node.id)) candidates.push_back(address);
    };
    if (a_device)
      for (const auto& [address, id] : node.devices) add(address, test::node_of(node.world.devices.at(id)));
    else
      for (const auto& [address, asker] : node.by_address) add(address, asker.device);
    return candidates[gen.number(static_cast<std::uint32_t>(candidates.size()))];
  }

  unsigned accepted_ = 0, dropped_ = 0;
  std::chrono::steady_clock::time_point written_at_;
};

TEST_F(OracleTest, KernelAndEvaluateAgreeOnEveryPacket) {
  const std::uint64_t pairs = wanted_pairs();
  std::uint64_t done = 0;
  for (std::uint64_t seed = 1; done < pairs && !HasFailure(); ++seed) {
    WorldGen gen(seeded(seed), {.conditions = seed % 2 == 0});
    PacketGen packets([&gen](std::uint32_t n) { return gen.number(n); });
    const policy::World world = gen.world().world();
    for (const auto& [id, state] : policy::compile(world, kNow)) {
      state_ = state;
      // Whose socket it is, evaluate() isn't asked: tests/bpf/people_*.
      for (auto& [key, value] : state_.entries)
        if (auto* principal = std::get_if<policy::PrincipalValue>(&value)) principal->check_owner = false;
      write_now();
      const Node node = node_of(world, id);
      for (int i = 0; i < kPacketsPerNode && done < pairs; ++i, ++done) {
        const std::uint8_t protocol = gen.protocol();
        const bool v4 = protocol == policy::kIcmp || (protocol != policy::kIcmpv6 && gen.number(2) == 0);
        const bool egress = gen.number(2) == 0;
        // Mostly what this hook is there for: others to this node, this node's to others.
        const bool own_source = egress && gen.number(8) != 0, own_target = !egress && gen.number(8) != 0;
        Flow flow{somebody(gen, node, v4, false, own_source), somebody(gen, node, v4, true, own_target),
                  static_cast<std::uint16_t>(1024 + gen.number(60000)), gen.port()};
        if (gen.number(4) == 0) flow = flow.reversed();
        const Packet packet = packets.about(flow, protocol);
        if (!agrees_in_time(node, egress, packet)) {
          FAIL() << "seed " << seed << " packet " << i << " " << complain(node, egress, packet);
        }
      }
    }
  }
  fmt::print("kernel and evaluate() agree about {} packets of {}\n", done, pairs);
  // The generator reaches both sides.
  EXPECT_GT(accepted_, done / 50);
  EXPECT_GT(dropped_, done / 4);
}

}  // namespace oracle_test
}  // namespace cordon::test
