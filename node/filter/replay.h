#pragma once
// Recorded traffic through the compiled maps and the real programs (POLICY.md, "Decide off line"): egress at
// the node of a packet's source, then ingress at the node of its destination, at a moment that stands still.

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.h"
#include "base/time.h"
#include "node/filter/capture.h"
#include "node/filter/replay_node.h"
#include "policy/world.h"

namespace cordon::node {

struct ReplayedPacket {
  std::size_t packet = 0;  ///< from 0
  bool accept = false;
  std::string rule;                                     ///< that let it through or forbade it; empty: none
  std::string_view reason;                              ///< of a drop, or "observed"; else empty
  policy::Direction where = policy::Direction::egress;  ///< the last place that decided
};

struct ReplayTotals {
  std::size_t packets = 0, accepted = 0, dropped = 0;
  std::map<std::string, std::size_t> reasons, rules;
};

class Replay {
 public:
  /// The world must outlive this.
  Replay(const policy::World& world, Timestamp at);
  ~Replay();

  /// First, once: counts what will pass each node, so that none forgets a flow. Ends where the capture does
  /// or is cut; an error when it speaks of more nodes than are held at once.
  Result<> prepare(Capture capture);
  /// Runs all packets in order. `sink` gets each; an error is the kernel's, the sink's, or where the capture
  /// is cut short (code `invalid`), after what came before.
  Result<> run(Capture capture, const std::function<Result<>(const ReplayedPacket&)>& sink);
  const ReplayTotals& totals() const { return totals_; }

 private:
  struct Node {
    std::size_t flows = 0;
    std::unique_ptr<ReplayNode> kernel;  ///< loaded when it is first needed
  };
  const DeviceId* owner_of(const Address& address) const;
  Result<ReplayNode::Verdict> decide(const DeviceId& node, policy::Direction direction,
                                     const struct IpPacket& packet);
  Result<ReplayedPacket> replay(const struct IpPacket& packet);

  const policy::World& world_;
  Timestamp at_;
  std::unordered_map<Address, const DeviceId*> owners_;
  std::map<DeviceId, Node> nodes_;
  std::unordered_map<RuleId, const std::string*> rule_names_;
  ReplayTotals totals_;
};

}  // namespace cordon::node
