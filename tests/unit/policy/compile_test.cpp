#include "policy/compile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "tests/support/world_builder.h"

namespace cordon::test {
namespace compile_test {

using policy::compile;
using policy::Direction;
using policy::kTcp;
using policy::look_up;
using policy::NodeState;
using std::chrono::minutes;

constexpr const char* kPolicy = R"(
[groups]
traders    = { users = ["trader"] }
responders = { users = ["oncall"] }

[segments.settlement]
members = ["tag:settlement"]
[segments.settlement.services]
ledger = ["tcp/5432"]

[segments.web]
members = ["tag:web"]
underlay = "open"
[segments.web.services]
site = ["tcp/443"]

[[allow]]
name = "traders-to-ledger"
from = { groups = ["traders"] }
to   = ["settlement/ledger"]

[[allow]]
name = "web-to-ledger"
from = { segments = ["web"] }
to   = ["settlement/ledger"]
lease = "1h"

[[allow]]
name = "responders"
from = { groups = ["responders"] }
to   = ["settlement tcp/22"]
responders = true
)";

class Compile : public testing::Test {
 protected:
  Compile() {
    builder.policy(kPolicy);
    builder.device("ledger", {"settlement"});
    builder.device("web", {"web"});
    builder.device("trader");
    builder.device("clerk");
    builder.session("s-trader", "trader", "trader");
    world.sessions.change(SessionId{"s-trader"}, [](policy::Session& session) { session.uid = 1001; });
    builder.session("s-clerk", "clerk", "clerk");
    builder.session("s-oncall", "oncall", "clerk");
  }

  NodeState state(const char* device) {
    policy::number_targets(world);  // as the fold does
    return compile(world, kNow).at(DeviceId{device});
  }
  const policy::Device& device(const char* id) { return world.devices.at(DeviceId{id}); }
  const policy::Session& session(const char* id) { return world.sessions.at(SessionId{id}); }

  template <class Value>
  static const Value* find(const NodeState& state, const policy::Key& key) {
    const auto it = state.entries.find(key);
    return it == state.entries.end() ? nullptr : &std::get<Value>(it->second);
  }
  template <class Key>
  static std::vector<Key> keys(const NodeState& state) {
    std::vector<Key> out;
    for (const auto& [key, value] : state.entries)
      if (const auto* k = std::get_if<Key>(&key)) out.push_back(*k);
    return out;
  }
  bool reaches(const char* node, Direction direction, const Address& source, const char* target,
               std::uint16_t port = 5432, Timestamp at = kNow) {
    return look_up(state(node), direction, source, device(target).addresses.v4, kTcp, port, at).accept;
  }

  WorldBuilder builder;
  policy::World& world = builder.world();
};

TEST_F(Compile, SettingsSayWhatIsThereOncePerNode) {
  world.installation.node_lease = Seconds(60);
  const NodeState ledger = state("ledger");
  const policy::SettingsValue expected{.device = DeviceId{"ledger"},
                                       .isolated = false,
                                       .node_lease = Seconds(60),
                                       .v4 = device("ledger").addresses.v4,
                                       .v6 = device("ledger").addresses.v6,
                                       .overlay_v4 = world.installation.overlay_v4,
                                       .overlay_v6 = world.installation.overlay_v6,
                                       .underlay = policy::Underlay::guard};
  EXPECT_EQ(*ledger.settings(), expected);
  EXPECT_EQ(state("trader").settings()->underlay, policy::Underlay::open) << "in no segment";
}

TEST_F(Compile, BothEndsOfAGrantKnowIt) {
  const Address trader = session("s-trader").addresses.v4;
  EXPECT_TRUE(reaches("trader", Direction::egress, trader, "ledger"));
  EXPECT_TRUE(reaches("ledger", Direction::ingress, trader, "ledger"));
  EXPECT_FALSE(reaches("ledger", Direction::ingress, device("trader").addresses.v4, "ledger"));
  EXPECT_FALSE(reaches("trader", Direction::egress, trader, "ledger", 5433));
  EXPECT_FALSE(reaches("clerk", Direction::egress, session("s-clerk").addresses.v4, "ledger"));
}

TEST_F(Compile, AVerdictNamesRuleAndDeadline) {
  const auto verdict = look_up(state("ledger"), Direction::ingress, device("web").addresses.v6,
                               device("ledger").addresses.v6, kTcp, 5432, kNow);
  EXPECT_TRUE(verdict.accept);
  EXPECT_EQ(verdict.rule, world.rule_ids.at("web-to-ledger"));
  EXPECT_EQ(verdict.deadline, kNow + minutes(60));
  EXPECT_EQ(find<policy::RuleValue>(state("ledger"), policy::RuleKey{verdict.rule})->name, "web-to-ledger");
}

TEST_F(Compile, I5_AGrantEndsAtItsSessionsEndInTheTablesToo) {
  world.sessions.change(SessionId{"s-trader"},
                        [](policy::Session& session) { session.ends_at = kNow + minutes(5); });
  const NodeState ledger = state("ledger");
  const Address trader = session("s-trader").addresses.v4;
  const auto at = [&](Timestamp t) {
    return look_up(ledger, Direction::ingress, trader, device("ledger").addresses.v4, kTcp, 5432, t);
  };
  EXPECT_EQ(at(kNow).deadline, kNow + minutes(5));
  EXPECT_TRUE(at(kNow + minutes(5) - std::chrono::microseconds(1)).accept);
  EXPECT_FALSE(at(kNow + minutes(5)).accept);
}

TEST_F(Compile, I6_ANodeKnowsOnlyWhatConcernsIt) {
  const NodeState clerk = state("clerk");
  EXPECT_TRUE(keys<policy::PeerKey>(clerk).empty());
  EXPECT_EQ(keys<policy::TargetKey>(clerk).size(), 2u) << "its own addresses";
  EXPECT_EQ(keys<policy::PrincipalKey>(clerk).size(), 6u) << "itself and its two sessions";
  EXPECT_TRUE(keys<policy::GrantKey>(clerk).empty());
  EXPECT_TRUE(keys<policy::RuleKey>(clerk).empty());
}

TEST_F(Compile, PeersAllowExactlyTheAddressesThatAreNeeded) {
  const NodeState ledger = state("ledger");
  EXPECT_EQ(keys<policy::PeerKey>(ledger),
            (std::vector<policy::PeerKey>{{DeviceId{"trader"}}, {DeviceId{"web"}}}));
  const auto* trader = find<policy::PeerValue>(ledger, policy::PeerKey{DeviceId{"trader"}});
  std::vector<Prefix> session_only{Prefix::host(session("s-trader").addresses.v4),
                                   Prefix::host(session("s-trader").addresses.v6)};
  std::ranges::sort(session_only);
  EXPECT_EQ(trader->allowed_ips, session_only) << "the laptop itself holds nothing here";
  EXPECT_EQ(trader->public_key, device("trader").wireguard_key);
  const NodeState laptop = state("trader");
  EXPECT_EQ(find<policy::PeerValue>(laptop, policy::PeerKey{DeviceId{"ledger"}})->allowed_ips.size(), 2u);
}

TEST_F(Compile, LocalSessionsAreTold) {
  const NodeState laptop = state("trader");
  const auto* local = find<policy::LocalSessionValue>(laptop, policy::LocalSessionKey{SessionId{"s-trader"}});
  ASSERT_NE(local, nullptr);
  EXPECT_EQ(local->user, "trader");
  EXPECT_EQ(local->uid, 1001u);
  EXPECT_EQ(local->v6, session("s-trader").addresses.v6);
}

TEST_F(Compile, ASessionsOwnerIsCheckedWhereItLivesAndTheDevicesNever) {
  const auto principal = [&](const char* node, const Address& address) {
    return *find<policy::PrincipalValue>(state(node), policy::PrincipalKey{address});
  };
  for (const bool isolated : {false, true}) {
    world.devices.at(DeviceId{"trader"}).isolated = isolated;
    for (const Address& address : {session("s-trader").addresses.v4, session("s-trader").addresses.v6}) {
      EXPECT_TRUE(principal("trader", address).check_owner) << "anybody on the host could send from it";
      EXPECT_EQ(principal("trader", address).uid, 1001u);
    }
    EXPECT_FALSE(principal("trader", device("trader").addresses.v4).check_owner);
    if (isolated) continue;
    const auto elsewhere = principal("ledger", session("s-trader").addresses.v4);
    EXPECT_FALSE(elsewhere.check_owner) << "its packets come in there: they have no socket";
    EXPECT_EQ(elsewhere.uid, 0u) << "elsewhere nobody needs to know";
  }
}

TEST_F(Compile, EndedSessionsAndDisabledUsersHoldNothing) {
  world.users.at(SubjectId{"u-trader"}).disabled = true;
  EXPECT_FALSE(reaches("ledger", Direction::ingress, session("s-trader").addresses.v4, "ledger"));
  EXPECT_TRUE(keys<policy::LocalSessionKey>(state("trader")).empty());
  world.users.at(SubjectId{"u-trader"}).disabled = false;
  world.sessions.change(SessionId{"s-trader"}, [](policy::Session& session) { session.ends_at = kNow; });
  EXPECT_FALSE(reaches("ledger", Direction::ingress, session("s-trader").addresses.v4, "ledger"));
  EXPECT_TRUE(keys<policy::LocalSessionKey>(state("trader")).empty());
}

TEST_F(Compile, PendingAndRemovedDevicesHaveNoStateAndNobodyKnowsThem) {
  for (const auto gone : {policy::DeviceState::pending, policy::DeviceState::removed}) {
    world.devices.at(DeviceId{"web"}).state = gone;
    EXPECT_FALSE(compile(world, kNow).contains(DeviceId{"web"}));
    EXPECT_TRUE(policy::compile_node(world, DeviceId{"web"}, kNow).entries.empty());
    EXPECT_EQ(find<policy::PeerValue>(state("ledger"), policy::PeerKey{DeviceId{"web"}}), nullptr);
  }
  EXPECT_TRUE(policy::compile_node(world, DeviceId{"unknown"}, kNow).entries.empty());
}

TEST_F(Compile, P8_ADeviceIsATargetForItsOwnPrincipals) {
  world.devices.at(DeviceId{"ledger"}).tags.insert("web");
  const Address own = device("ledger").addresses.v4;
  EXPECT_TRUE(reaches("ledger", Direction::egress, own, "ledger"));
  EXPECT_TRUE(reaches("ledger", Direction::ingress, own, "ledger"));
  EXPECT_EQ(find<policy::PeerValue>(state("ledger"), policy::PeerKey{DeviceId{"ledger"}}), nullptr);
}

TEST_F(Compile, P9_ATargetThatObservesIsKnownToEveryNodeAndKnowsEveryPrincipal) {
  builder.policy(std::string(kPolicy) +
                 "[segments.lab]\nmembers = [\"tag:lab\"]\nmode = \"observe\"\n[segments.lab.services]\nx = "
                 "[\"tcp/1\"]\n");
  builder.device("lab", {"lab"});
  const NodeState clerk = state("clerk");
  const auto verdict = look_up(clerk, Direction::egress, session("s-clerk").addresses.v4,
                               device("lab").addresses.v4, kTcp, 9, kNow);
  EXPECT_FALSE(verdict.accept);
  EXPECT_TRUE(verdict.observed);
  EXPECT_TRUE(look_up(state("lab"), Direction::ingress, session("s-clerk").addresses.v4,
                      device("lab").addresses.v4, kTcp, 9, kNow)
                  .observed);
  EXPECT_NE(find<policy::PeerValue>(state("lab"), policy::PeerKey{DeviceId{"trader"}}), nullptr);
  world.devices.at(DeviceId{"lab"}).isolated = true;
  EXPECT_TRUE(keys<policy::PeerKey>(state("clerk")).empty()) << "isolation is never only observed";
}

TEST_F(Compile, P10_AnIsolatedPrincipalHoldsNothingAnywhere) {
  world.devices.at(DeviceId{"web"}).isolated = true;
  EXPECT_TRUE(state("web").settings()->isolated);
  const Address web = device("web").addresses.v4;
  EXPECT_TRUE(find<policy::PrincipalValue>(state("web"), policy::PrincipalKey{web})->isolated);
  EXPECT_EQ(find<policy::PrincipalValue>(state("ledger"), policy::PrincipalKey{web}), nullptr);
  EXPECT_EQ(find<policy::PeerValue>(state("ledger"), policy::PeerKey{DeviceId{"web"}}), nullptr);
  EXPECT_TRUE(keys<policy::GrantKey>(state("web")).empty());
}

TEST_F(Compile, P10_AnIsolatedTargetIsLeftToResponders) {
  const Address oncall = session("s-oncall").addresses.v4;
  EXPECT_FALSE(reaches("ledger", Direction::ingress, oncall, "ledger", 22));
  world.devices.at(DeviceId{"ledger"}).isolated = true;
  EXPECT_TRUE(reaches("ledger", Direction::ingress, oncall, "ledger", 22));
  EXPECT_TRUE(reaches("clerk", Direction::egress, oncall, "ledger", 22));
  EXPECT_FALSE(reaches("ledger", Direction::ingress, session("s-trader").addresses.v4, "ledger"));
  EXPECT_FALSE(reaches("trader", Direction::egress, session("s-trader").addresses.v4, "ledger"));
  EXPECT_EQ(keys<policy::PeerKey>(state("ledger")), (std::vector<policy::PeerKey>{{DeviceId{"clerk"}}}));
  const NodeState ledger = state("ledger");
  for (const auto& grant : keys<policy::GrantKey>(ledger))
    EXPECT_TRUE(find<policy::GrantValue>(ledger, grant)->responder);
}

TEST_F(Compile, PrincipalsThatHoldTheSameShareAClass) {
  builder.device("web-2", {"web"});
  const NodeState ledger = state("ledger");
  const auto* one = find<policy::PrincipalValue>(ledger, policy::PrincipalKey{device("web").addresses.v4});
  const auto* two = find<policy::PrincipalValue>(ledger, policy::PrincipalKey{device("web-2").addresses.v6});
  EXPECT_EQ(one->class_id, two->class_id);
  const auto* trader =
      find<policy::PrincipalValue>(ledger, policy::PrincipalKey{session("s-trader").addresses.v4});
  EXPECT_NE(one->class_id, trader->class_id);
  EXPECT_EQ(keys<policy::GrantKey>(ledger).size(), 2u);
}

TEST_F(Compile, I13_GuardedPortsAreTold) {
  EXPECT_EQ(keys<policy::GuardKey>(state("ledger")),
            (std::vector<policy::GuardKey>{{.protocol = kTcp, .ports = {5432, 5432}}}));
  EXPECT_TRUE(find<policy::GuardValue>(state("web"), policy::GuardKey{.protocol = kTcp, .ports = {443, 443}})
                  ->count_only);
  EXPECT_TRUE(keys<policy::GuardKey>(state("clerk")).empty());
}

TEST_F(Compile, TheNextChangeIsTheFirstSessionEnd) {
  world.sessions.change(SessionId{"s-clerk"},
                        [](policy::Session& session) { session.ends_at = kNow + minutes(7); });
  EXPECT_EQ(policy::next_change_at(world, kNow), kNow + minutes(7));
  EXPECT_EQ(policy::next_change_at(world, kNow + minutes(7)), kNow + std::chrono::hours(8));
  world.sessions.clear();
  EXPECT_EQ(policy::next_change_at(world, kNow), kNever);
}

// P7, P9: a forbid that begins takes its ports out of wider grants too, with no controller at hand.
TEST_F(Compile, AForbidThatBeginsCutsWhatAWiderGrantGoesOnAllowing) {
  builder.policy(R"(
[segments.settlement]
members = ["tag:settlement"]
[[allow]]
name = "everything"
from = { users = ["trader"] }
to   = ["settlement any"]
[[forbid]]
name = "closing"
from = { users = ["trader"] }
to   = ["settlement tcp/5432"]
when = { valid_from = "2026-01-05T10:05:00Z" }
)");
  builder.session("s-closing", "trader", "trader");
  const auto states = compile(builder.world(), kNow);
  const NodeState& ledger = states.at(DeviceId{"ledger"});
  const Address from = builder.world().sessions.at(SessionId{"s-closing"}).addresses.v6;
  const Address to = builder.world().devices.at(DeviceId{"ledger"}).addresses.v6;
  const auto accepts = [&](std::uint16_t port, Timestamp at) {
    return look_up(ledger, Direction::ingress, from, to, kTcp, port, at).accept;
  };
  EXPECT_TRUE(accepts(5432, kNow));
  EXPECT_TRUE(accepts(5432, kNow + minutes(5) - std::chrono::microseconds(1)));
  EXPECT_FALSE(accepts(5432, kNow + minutes(5)));
  EXPECT_TRUE(accepts(5433, kNow + minutes(5)));
}

TEST_F(Compile, LookUpTriesExactThenPrefixThenPortsThenProtocols) {
  NodeState state;
  const Address source = Address::parse("fd00::1").value(), target = Address::parse("fd00::2").value();
  state.entries[policy::PrincipalKey{source}] = policy::PrincipalValue{.class_id = ClassId{1}};
  state.entries[policy::TargetKey{Prefix::of(target, 64)}] = policy::TargetValue{.id = TargetId{9}};
  state.entries[policy::TargetKey{Prefix::host(target)}] = policy::TargetValue{.id = TargetId{5}};
  std::uint32_t rule = 0;
  const auto add = [&](std::uint8_t protocol, std::uint8_t bits, std::uint16_t port, bool deny = false) {
    state.entries[policy::GrantKey{Direction::egress, ClassId{1}, TargetId{5}, protocol, bits, port}] =
        policy::GrantValue{.rule = RuleId{++rule}, .deny = deny, .lease_s = 60};
  };
  add(0, 0, 0);
  add(kTcp, 0, 0);
  add(kTcp, 8, 0x0100);
  add(kTcp, 12, 0x0120);
  add(kTcp, 16, 0x0123);
  add(kTcp, 16, 0x0124, true);
  const auto ask = [&](std::uint8_t protocol, std::uint16_t port) {
    return look_up(state, Direction::egress, source, target, protocol, port, kNow);
  };
  EXPECT_EQ(ask(kTcp, 0x0123).rule, RuleId{5});
  EXPECT_EQ(ask(kTcp, 0x0125).rule, RuleId{4});
  EXPECT_EQ(ask(kTcp, 0x0145).rule, RuleId{3});
  EXPECT_EQ(ask(kTcp, 0x0245).rule, RuleId{2});
  EXPECT_EQ(ask(policy::kUdp, 1).rule, RuleId{1});
  EXPECT_FALSE(ask(kTcp, 0x0124).accept) << "a deny stops the search";
  EXPECT_EQ(ask(kTcp, 0x0124).rule, RuleId{6});
  EXPECT_FALSE(look_up(state, Direction::ingress, source, target, kTcp, 1, kNow).accept);
  EXPECT_FALSE(
      look_up(state, Direction::egress, source, Address::parse("fd00::3").value(), kTcp, 1, kNow).accept);
  EXPECT_FALSE(look_up(state, Direction::egress, target, target, kTcp, 1, kNow).accept)
      << "an unknown source";
  EXPECT_FALSE(look_up({}, Direction::egress, source, target, kTcp, 1, kNow).accept) << "I1: no state";
}

}  // namespace compile_test
}  // namespace cordon::test
