// What a node is told adds up to what it is to hold, however it is told, and the digest is the state's.

#include "controller/distribution/outbox.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <set>

#include "policy/grant_class.h"
#include "tests/property/policy/draw.h"

namespace cordon::controller {
namespace outbox_test {

using policy::Change;
using policy::ClassGrants;
using policy::Key;
using policy::NodeDelta;
using policy::NodeState;
using policy::Value;
using test::Pick;

/// A node's state that changes at random, as the engine tells it: plain entries one by one, classes whole,
/// some of both shared with other nodes.
class Changing {
 public:
  explicit Changing(Pick pick) : pick_(std::move(pick)) {}

  NodeDelta change() {
    NodeState next = wanted;
    for (std::uint32_t n = 1 + pick_(4); n > 0; --n) change_plain(next);
    std::set<std::uint32_t> classes = classes_;
    for (std::uint32_t n = pick_(3); n > 0; --n) {
      const std::uint32_t number = pick_(4);
      if (classes.erase(number) == 0) classes.insert(number);
    }
    policy::CommonChanges common;
    std::vector<Change> own, shared;
    for (Change& change : policy::difference(wanted, next))
      (pick_(2) == 1 ? shared : own).push_back(std::move(change));
    if (!shared.empty()) common.plain.push_back(std::make_shared<const std::vector<Change>>(shared));
    for (std::uint32_t number = 0; number < 4; ++number) {
      if (classes.contains(number) == classes_.contains(number)) continue;
      const auto grants = std::make_shared<const ClassGrants>(grants_of(number));
      for (const auto& [key, value] : *grants)
        if (classes.contains(number))
          next.entries.insert_or_assign(key, value);
        else
          next.entries.erase(key);
      (classes.contains(number) ? common.come : common.gone).push_back(grants);
    }
    for (const auto& [key, value] : wanted.entries)
      if (!next.entries.contains(key)) went.insert(key);
    wanted = std::move(next);
    classes_ = std::move(classes);
    return NodeDelta(std::move(own), std::make_shared<const policy::CommonChanges>(std::move(common)));
  }

  NodeState wanted;
  std::set<Key> went;  ///< since the test emptied it

 private:
  void change_plain(NodeState& state) {
    const std::uint32_t number = pick_(6);
    const Address address = Address::from_v4(0x64400001u + number);
    const auto put = [&](Key key, Value value) {
      if (pick_(3) == 2)
        state.entries.erase(key);
      else
        state.entries.insert_or_assign(std::move(key), std::move(value));
    };
    switch (pick_(3)) {
      case 0:
        return put(policy::PrincipalKey{address},
                   policy::PrincipalValue{.class_id = ClassId{pick_(4)}, .isolated = pick_(4) == 3});
      case 1:
        return put(policy::TargetKey{Prefix::host(address)},
                   policy::TargetValue{.id = TargetId{1 + pick_(3)}});
      default:
        return put(policy::RuleKey{RuleId{number}}, policy::RuleValue{.name = pick_(2) == 1 ? "one" : "two"});
    }
  }

  static ClassGrants grants_of(std::uint32_t number) {
    ClassGrants grants;
    for (std::uint16_t port = 1; port <= number + 1; ++port)
      grants.emplace_back(policy::GrantKey{.direction = static_cast<policy::Direction>(number % 2),
                                           .class_id = ClassId{number + 1},
                                           .target = TargetId{1},
                                           .protocol = policy::kTcp,
                                           .port = port},
                          policy::GrantValue{.rule = RuleId{port}, .lease_s = 60});
    return grants;
  }

  Pick pick_;
  std::set<std::uint32_t> classes_;
};

RC_GTEST_PROP(Outbox, what_is_told_adds_up_to_what_is_wanted, ()) {
  const Pick pick = test::drawn();
  Changing changing(pick);
  for (int i = 0; i < 3; ++i) std::ignore = changing.change();
  Outbox outbox;
  outbox.reset(changing.wanted);
  NodeState node = changing.wanted;
  changing.went.clear();
  std::uint64_t revision = 1, generation = 0;
  const auto tell = [&](Outbox::Which which) {
    const std::uint64_t told_before = generation;
    for (const Outbox::Out& out : outbox.take(which)) {
      RC_ASSERT(out.generation > told_before);
      generation = std::max(generation, out.generation);
      if (out.value && changing.went.erase(out.key) > 0) RC_ASSERT(out.was_removed);
      policy::apply(node, {Change{.key = out.key, .value = out.value}});
      if (!out.value) changing.went.erase(out.key);
    }
    RC_ASSERT(node == outbox.held());
    RC_ASSERT(outbox.digest() == policy::digest(node));
    // What waited for something that went with this may be ready now.
    RC_ASSERT(which == Outbox::Which::ready || !outbox.has(which));
  };
  for (std::uint32_t steps = pick(20); steps > 0; --steps) {
    const std::uint32_t what = pick(5);
    if (what < 3) {
      outbox.add(changing.change(), Revision{++revision});
      // What the node never had, it needn't hear of.
      std::erase_if(changing.went, [&](const Key& key) { return !node.entries.contains(key); });
    } else {
      tell(what == 3 ? Outbox::Which::urgent : Outbox::Which::ready);
      for (const auto& [key, value] : node.entries) RC_ASSERT(changing.wanted.entries.contains(key));
    }
    RC_ASSERT(outbox.empty() || outbox.complete(Revision{revision}) < Revision{revision + 1});
  }
  tell(Outbox::Which::all);
  RC_ASSERT(node == changing.wanted);
  RC_ASSERT(outbox.empty());
  RC_ASSERT(outbox.complete(Revision{revision}) == Revision{revision});
  RC_ASSERT(changing.went.empty());
}

}  // namespace outbox_test
}  // namespace cordon::controller
