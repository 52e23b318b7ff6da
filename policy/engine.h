#pragma once
// The states of all nodes, kept up to date at the cost of what a change touches. compile() is the reference:
// a property test holds them equal. Nothing is copied whole and nothing polls.
//
// How: principals of which the rules say the same are one group, devices in the same segments are another
// kind of group, and what holds between two groups is worked out once (engine_groups.h). A change moves
// principals and devices between groups; what that changes at a node is worked out when asked for, from the
// groups as they were before and as they are now (engine_node.h, engine_update.h).

#include <memory>
#include <vector>

#include "policy/compile.h"
#include "policy/evaluate.h"
#include "policy/node_delta.h"
#include "policy/node_state.h"
#include "policy/world.h"

namespace cordon::policy {

/// What changed in the world since the last advance. Time needn't be named: what it ends is found.
struct Touched {
  std::vector<DeviceId> devices;    ///< new, or another state, tags, facts, address or key
  std::vector<SessionId> sessions;  ///< opened, closed, or other facts
  std::vector<SubjectId> users;     ///< another name, or disabled
  bool policy = false;              ///< another is in force
  bool everything = false;          ///< costs what a new engine does
};

class Engine {
  struct Parts;

 public:
  /// The world must outlive this; it is changed in place, and each change told to advance().
  Engine(const World& world, Timestamp now);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// What the last advance changed. Valid until the next.
  class Update {
   public:
    /// Nodes whose state is another now, each once; nodes that are no longer active aren't among them.
    std::size_t size() const { return nodes_.size(); }
    const DeviceId& device(std::size_t i) const;
    /// What turns its last state into its new one. It may be kept.
    std::shared_ptr<const NodeDelta> changes(std::size_t i) const;

   private:
    friend class Engine;
    const Parts* parts_ = nullptr;
    std::vector<std::uint32_t> nodes_;
  };
  Update advance(const Touched& touched, Timestamp now);

  /// As compile_node() gives it; empty when the device is unknown or not active.
  NodeState state(const DeviceId& device) const;
  bool is_active(const DeviceId& device) const;  ///< and a node
  /// As next_change_at(world, now) tells it.
  Timestamp next_change_at() const;
  Timestamp now() const { return now_; }

  /// What evaluate() answers, as of now() and without its reasons: accept, rule, deadline, observed.
  TableVerdict decide(const PrincipalRef& principal, const DeviceId& target, std::uint8_t protocol,
                      std::uint16_t port) const;

  /// How many groups there are, for those who wonder what it costs.
  struct Counts {
    std::size_t principal_groups = 0, target_groups = 0, links = 0;
  };
  Counts counts() const;

 private:
  std::unique_ptr<Parts> parts_;
  const World& world_;
  Timestamp now_;
};

}  // namespace cordon::policy
