#pragma once
// One node's state, put together from what its groups share and its own. What is the node's own goes before
// what others are to it: its own principals are never told by others, and it is never its own peer.
//
//   own      settings, local sessions, its addresses as targets, its principals
//   held     the classes of its principals
//   ingress  shared by all members of its target group: the principals that reach it, their classes and peers
//   reach    a target group that its principals reach, or that observes: the members as targets and peers
//   everyone for members of groups that observe: all principals, with class 0
//
// A gateway enforces for several target groups, its own and those of what is behind it: a principal's class
// holds what is granted in all of them, and nothing of it is shared with other nodes.

#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "policy/engine_population.h"

namespace cordon::policy::engine {

/// What an update may have changed at a node: each is looked at before it and now.
struct Scope {
  bool own = false;                         ///< its own part
  bool held = false;                        ///< the classes of its principals
  bool whole_group = false;                 ///< all classes and guards that its target group shares
  std::vector<std::uint32_t> principals{};  ///< elsewhere
  std::vector<std::uint32_t> targets{};     ///< devices elsewhere
  std::vector<std::uint32_t> peers{};       ///< devices elsewhere
  std::vector<ClassId> classes{};           ///< of principals elsewhere
  std::vector<RuleId> rules{};

  void make_sets();  ///< each once
  /// Sets that name the device or one of its principals, which are not told alike to it and to others.
  bool names(std::uint32_t device, const std::vector<std::uint32_t>& principals_on_it) const;
};

/// Entries of a node, in no order, some of them more than once.
struct Entries {
  std::vector<std::pair<Key, Value>> plain;  ///< all but grants
  std::vector<ClassPtr> classes;             ///< whole
};

class NodeView {
 public:
  NodeView(const World& world, const RuleBook& rules, const GroupBook& groups, const Population& population,
           std::uint32_t device, When when);

  bool active() const { return record_.group != kNone && record_.gateway == kNone; }
  const TargetGroup& group() const { return groups_.targets(record_.group); }
  std::uint32_t group_number() const { return record_.group; }
  /// The target groups that the node enforces for, in order.
  std::span<const std::uint32_t> hosted() const {
    return is_gateway_ ? std::span(hosted_) : std::span(&record_.group, 1);
  }
  /// Is the group among those that its principals reach, or that observe?
  bool reaches(std::uint32_t target_group) const;
  std::vector<std::uint32_t> reach() const;
  /// The classes of its principals.
  std::vector<const LocalClass*> local_classes() const;

  /// What it holds within the scope.
  void collect(const Scope& scope, Entries& out) const;
  /// What its whole state is in: all now, and of what was before all that didn't move since.
  void add_everything(Scope& scope) const;
  /// The rules that its classes name, or its target group's classes too; in order, each once.
  std::vector<RuleId> rules(bool whole_group) const;
  void add_sources(Scope& scope) const;
  std::optional<TargetValue> as_target(std::uint32_t device) const;
  /// What a principal on it is to it.
  PrincipalValue own_principal(std::uint32_t principal) const;

 private:
  void collect_own(Entries& out) const;
  void collect_principal(std::uint32_t principal, Entries& out) const;
  void collect_target(std::uint32_t device, Entries& out) const;
  void collect_peer(std::uint32_t device, Entries& out) const;
  void collect_ingress_class(const ClassId& class_id, Entries& out) const;
  void collect_rule(const RuleId& rule, Entries& out) const;
  struct Ingress {
    ClassId id;       ///< 0: nothing is granted
    ClassPtr grants;  ///< null: it has none
  };
  Ingress ingress_of(const PrincipalGroup& group) const;
  bool observes() const;
  const LocalClass* local_class(std::uint32_t principal) const;
  bool lets_in(const PrincipalRecord& principal) const;
  template <class Visit>
  void each_source(Visit visit) const;

  const World& world_;
  const RuleBook& rules_;
  const GroupBook& groups_;
  const Population& population_;
  const std::uint32_t device_;
  const When when_;
  const DeviceRecord& record_;
  const bool is_gateway_;
  std::vector<std::uint32_t> hosted_;  ///< of a gateway
  /// Of a gateway, by what is granted in each of its target groups.
  mutable std::map<std::vector<const Link*>, Ingress> merged_;
  mutable std::optional<std::vector<std::uint32_t>> reach_;  ///< worked out when asked for often
};

/// What turns one into the other. engine_difference.cpp
struct Difference {
  std::vector<Change> plain{};  ///< removals first, then upserts, each by key
  std::vector<ClassPtr> gone{}, come{};
};
Difference difference(Entries before, Entries now);

}  // namespace cordon::policy::engine
