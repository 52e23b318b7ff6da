// From messages to the machine: gathering, applying in order, receipts, going back on failure.

#include <gtest/gtest.h>

#include "base/files.h"
#include "node/agent/applier.h"
#include "node/agent/reach.h"
#include "node/agent/state_file.h"
#include "node/agent/state_keeper.h"
#include "proto/codec.h"
#include "tests/unit/node/agent_fakes.h"
#include "tests/unit/node/agent_states.h"
#include "tests/unit/node/link_pki.h"
#include "tests/unit/node/link_temporary.h"

namespace cordon::node {
namespace agent_apply_test {

using test::address;
using test::base_state;

class Apply : public ::testing::Test {
 protected:
  Apply() {
    keeper.set_standing(
        {.device = DeviceId{"trader"}, .domain = "acme.example", .roots_pem = pki.root_pem, .key = key});
    keeper.begin_session();
    time.observe(clock.boot_ns(), clock.boot_ns(), clock.now());
  }

  std::optional<wire::ToController> tell(const wire::ToNode& message) {
    std::optional<wire::ToController> answer;
    EXPECT_TRUE(keeper.take(message, answer));
    return answer;
  }

  std::optional<wire::ToController> whole(const policy::NodeState& state, std::uint64_t revision) {
    wire::ToNode message;
    message.mutable_begin()->set_sequence(++sequence);
    message.mutable_begin()->set_revision(revision);
    *message.mutable_begin()->mutable_head() = pki.head(revision);
    if (auto refused = tell(message)) return refused;
    for (const auto& [entry, value] : state.entries) {
      message.mutable_part()->set_sequence(sequence);
      message.mutable_part()->clear_entries();
      *message.mutable_part()->add_entries() = wire::encode_entry(entry, &value);
      if (auto refused = tell(message)) return refused;
    }
    message.mutable_end()->set_sequence(sequence);
    const Sha256 digest = policy::digest(state).value();
    message.mutable_end()->set_digest(digest.data(), digest.size());
    return tell(message);
  }

  wire::ToNode delta(const policy::NodeState& from, const policy::NodeState& to, std::uint64_t revision) {
    wire::ToNode message;
    auto& body = *message.mutable_delta();
    body.set_sequence(++sequence);
    body.set_revision(revision);
    for (const auto& change : policy::difference(from, to))
      *(change.value ? body.add_upserts() : body.add_removals()) =
          wire::encode_entry(change.key, change.value ? &*change.value : nullptr);
    const Sha256 digest = policy::digest(to).value();
    body.set_digest(digest.data(), digest.size());
    *body.mutable_head() = pki.head(revision);
    return message;
  }

  std::string nacked(const std::optional<wire::ToController>& answer) {
    EXPECT_TRUE(answer && answer->has_nack());
    return answer && answer->has_nack() ? answer->nack().reason() : "";
  }

  test::FakeClock clock;
  test::Pki pki{clock.now()};
  test::TemporaryDirectory directory;
  test::Steps steps;
  test::FakeFilter filter{steps};
  test::FakeTunnel tunnel{steps};
  test::FakeNetwork network{steps};
  crypto::PrivateKey key = crypto::PrivateKey::generate().value();
  HeadMemory heads = HeadMemory::open(directory.path() / "seen_head.json").value();
  TimeKeeper time;
  Applier applier{filter, tunnel, network, {{1000, 60000}}};
  StateKeeper keeper{applier, heads, time, clock};
  std::uint64_t sequence = 0;
};

TEST_F(Apply, AWholeStateIsAppliedInOrderAndSigned) {
  const auto answer = whole(base_state(), 12);
  ASSERT_TRUE(answer && answer->has_ack());
  const test::Steps expected = {
      "tunnel.peers [100.64.0.3 ]", "network.addresses 100.64.0.2 fd12:3456:789a::2", "filter.replace",
      "network.people",
      "network.routes 100.64.0.0/10 src 100.64.0.2 fd12:3456:789a::/48 src fd12:3456:789a::2"};
  EXPECT_EQ(steps, expected);
  EXPECT_EQ(filter.held, base_state());
  const auto& receipt = answer->ack().receipt();
  wire::ReceiptFields fields{
      .device = DeviceId{"trader"}, .revision = Revision{12}, .at = from_us(receipt.at_us())};
  std::ranges::copy(as_bytes(pki.head(12).hash()), fields.head_hash.begin());
  fields.digest = policy::digest(base_state()).value();
  EXPECT_TRUE(
      crypto::verify(key.public_key_der(), wire::receipt_text(fields), as_bytes(receipt.signature())));
  EXPECT_EQ(keeper.shortest_lease(), Seconds{600});
}

TEST_F(Apply, PeersAreAddedBeforeTheFilterAndRemovedAfter) {
  policy::NodeState first = base_state();
  ASSERT_TRUE(whole(first, 1)->has_ack());
  policy::NodeState second = first;
  second.entries.erase(policy::PeerKey{DeviceId{"ledger"}});
  second.entries[policy::PeerKey{DeviceId{"web"}}] = test::peer(2, {"100.64.0.9"});
  steps.clear();
  ASSERT_TRUE(tell(delta(first, second, 2))->has_ack());
  const test::Steps expected = {"tunnel.peers [100.64.0.3 ] [100.64.0.9 ]", "filter.update",
                                "tunnel.peers [100.64.0.9 ]"};
  EXPECT_EQ(steps, expected);
}

TEST_F(Apply, AnAddressThatMovesBetweenPeersIsNeverInBoth) {
  policy::NodeState first = base_state();
  ASSERT_TRUE(whole(first, 1)->has_ack());
  policy::NodeState second = first;
  second.entries[policy::PeerKey{DeviceId{"ledger"}}] = test::peer(1, {});
  second.entries[policy::PeerKey{DeviceId{"web"}}] = test::peer(2, {"100.64.0.3"});
  steps.clear();
  ASSERT_TRUE(tell(delta(first, second, 2))->has_ack());
  EXPECT_EQ(steps.front(), "tunnel.peers [] [100.64.0.3 ]");
}

TEST_F(Apply, ASessionsAddressIsItsPersonsSourceAndNobodyElses) {
  policy::NodeState first = base_state();
  ASSERT_TRUE(whole(first, 1)->has_ack());
  policy::NodeState second = first;
  second.entries[policy::LocalSessionKey{SessionId{"s-1"}}] = test::session();
  steps.clear();
  ASSERT_TRUE(tell(delta(first, second, 2))->has_ack());
  const test::Steps login = {
      "network.addresses 100.64.0.2 100.64.1.1~ fd12:3456:789a::2 fd12:3456:789a::1:1~", "filter.update",
      "network.people 1000 100.64.1.1 fd12:3456:789a::1:1"};
  EXPECT_EQ(steps, login);
  steps.clear();
  ASSERT_TRUE(tell(delta(second, first, 3))->has_ack());
  const test::Steps logout = {"filter.update", "network.people",
                              "network.addresses 100.64.0.2 fd12:3456:789a::2"};
  EXPECT_EQ(steps, logout);
}

TEST_F(Apply, PeopleWithoutASessionLoseTheWayBeforeTheDeviceHasOne) {
  ASSERT_TRUE(whole(base_state(), 1)->has_ack());
  EXPECT_LT(std::ranges::find(steps, "network.people") - steps.begin(),
            std::ranges::find_if(steps, [](const auto& s) { return s.starts_with("network.routes"); }) -
                steps.begin());
  EXPECT_EQ(network.people, (PeopleRouting{.overlay_v4 = test::settings().overlay_v4,
                                           .overlay_v6 = test::settings().overlay_v6,
                                           .behind = {},
                                           .people = {{1000, 60000}},
                                           .sessions = {}}));
}

TEST_F(Apply, ASessionOfASystemUidIsNobodys) {
  policy::NodeState state = base_state();
  state.entries[policy::LocalSessionKey{SessionId{"s-root"}}] = test::session(0);
  state.entries[policy::LocalSessionKey{SessionId{"s-ann"}}] = test::session(3001);
  ASSERT_TRUE(whole(state, 1)->has_ack());
  ASSERT_EQ(network.people.sessions.size(), 1u);
  EXPECT_EQ(network.people.sessions[0].uid, 3001u) << "root is the device";
}

TEST_F(Apply, AnIsolatedHostsFilterKnowsWhereThePeersAreBeforeItCuts) {
  policy::NodeState first = base_state();
  ASSERT_TRUE(whole(first, 1)->has_ack());
  const Endpoint hint = Endpoint::parse("203.0.113.5:51820").value();
  ASSERT_TRUE(applier.set_endpoint_hints({{DeviceId{"ledger"}, hint}}));
  EXPECT_TRUE(filter.ends.empty()) << "only while it is isolated";
  policy::NodeState second = first;
  std::get<policy::SettingsValue>(second.entries.at(policy::SettingsKey{})).isolated = true;
  ASSERT_TRUE(tell(delta(first, second, 2))->has_ack());
  EXPECT_EQ(filter.ends, std::vector{hint});
  // The peer moves; the tunnel hears it first.
  const Endpoint moved = Endpoint::parse("203.0.113.77:40001").value();
  tunnel.held.front().endpoint = moved;
  ASSERT_TRUE(applier.follow_peers());
  EXPECT_EQ(filter.ends, (std::vector{hint, moved}));
  policy::NodeState third = second;
  third.entries.erase(policy::PeerKey{DeviceId{"ledger"}});
  ASSERT_TRUE(tell(delta(second, third, 3))->has_ack());
  EXPECT_TRUE(filter.ends.empty()) << "of a peer that went nothing stays";
}

TEST_F(Apply, AFilterThatFailsIsNackedAndTheLastGoodStateKept) {
  ASSERT_TRUE(whole(base_state(), 1)->has_ack());
  policy::NodeState second = base_state();
  second.entries[policy::PeerKey{DeviceId{"web"}}] = test::peer(2, {"100.64.0.9"});
  filter.fail_at = "filter.update";
  EXPECT_NE(nacked(tell(delta(base_state(), second, 2))).find("the map is full"), std::string::npos);
  EXPECT_EQ(keeper.state(), base_state());
  EXPECT_EQ(filter.held, base_state());
  ASSERT_EQ(tunnel.held.size(), 1u) << "the peer that was added is gone again";
  EXPECT_EQ(keeper.revision(), Revision{1});
  EXPECT_FALSE(keeper.holds());
  filter.fail_at.clear();
  EXPECT_NE(nacked(tell(delta(base_state(), second, 2))).find("whole state"), std::string::npos);
  EXPECT_TRUE(whole(second, 2)->has_ack());
}

TEST_F(Apply, AFailureBehindTheFilterDoesNotBringARevokedGrantBack) {
  ASSERT_TRUE(whole(base_state(), 1)->has_ack());
  policy::NodeState second = base_state();
  second.entries.erase(policy::PrincipalKey{address("100.64.0.2")});
  second.entries[policy::LocalSessionKey{SessionId{"s-1"}}] = test::session();
  network.routes_broken = true;
  nacked(tell(delta(base_state(), second, 2)));
  EXPECT_EQ(filter.held, second);
  EXPECT_EQ(network.addresses.size(), 2u);
  EXPECT_FALSE(keeper.holds());
  network.routes_broken = false;
  EXPECT_TRUE(whole(second, 2)->has_ack());
  EXPECT_TRUE(keeper.holds());
}

TEST_F(Apply, ACutDoesNotWaitForTheTunnel) {
  ASSERT_TRUE(whole(base_state(), 1)->has_ack());
  policy::NodeState second = base_state();
  second.entries.erase(policy::PrincipalKey{address("100.64.0.2")});
  const policy::NodeState cut = second;
  second.entries[policy::PeerKey{DeviceId{"web"}}] = test::peer(2, {"100.64.0.9"});
  tunnel.broken = true;
  EXPECT_NE(nacked(tell(delta(base_state(), second, 2))).find("tunnel"), std::string::npos);
  EXPECT_EQ(filter.held, cut);
  EXPECT_FALSE(keeper.holds());
  nacked(whole(second, 2));
  EXPECT_EQ(filter.held, second) << "a whole state is written, too";
}

TEST_F(Apply, WhatTheKernelDoesNotHoldIsNotSignedFor) {
  filter.verified = false;
  nacked(whole(base_state(), 1));
  EXPECT_FALSE(keeper.holds());
  EXPECT_FALSE(keeper.acked_in_session());
}

TEST_F(Apply, ARewriteThatFailsHoldsNothingUntilAWholeStateComes) {
  ASSERT_TRUE(keeper.rewrite()) << "nothing is held yet: nothing to write";
  ASSERT_TRUE(whole(base_state(), 1)->has_ack());
  steps.clear();
  ASSERT_TRUE(keeper.rewrite());
  EXPECT_EQ(std::ranges::count(steps, "filter.replace"), 1);
  filter.fail_at = "filter.replace";
  EXPECT_FALSE(keeper.rewrite());
  EXPECT_FALSE(keeper.holds());
  filter.fail_at.clear();
  policy::NodeState second = base_state();
  second.entries[policy::PeerKey{DeviceId{"web"}}] = test::peer(2, {"100.64.0.9"});
  EXPECT_NE(nacked(tell(delta(base_state(), second, 2))).find("whole state"), std::string::npos);
  EXPECT_TRUE(whole(second, 2)->has_ack());
  filter.verified = false;
  EXPECT_FALSE(keeper.rewrite()) << "written, and not held by the kernel";
  EXPECT_FALSE(keeper.holds());
}

/// As the agent does it, without its thread.
TEST_F(Apply, ALargeStateIsAnsweredOnceItWasWritten) {
  ASSERT_TRUE(whole(base_state(), 1)->has_ack());
  const policy::NodeState second = test::large_state();
  ASSERT_FALSE(whole(second, 2)) << "no answer yet";
  ASSERT_TRUE(keeper.busy());
  EXPECT_FALSE(keeper.holds()) << "neither state may be claimed";
  EXPECT_EQ(keeper.state(), base_state());
  keeper.write();
  EXPECT_EQ(filter.held, second);
  std::optional<wire::ToController> answer;
  keeper.written(answer);
  ASSERT_TRUE(answer && answer->has_ack());
  EXPECT_EQ(answer->ack().sequence(), sequence);
  EXPECT_FALSE(keeper.busy());
  EXPECT_TRUE(keeper.holds());
  EXPECT_EQ(keeper.state(), second);
  EXPECT_EQ(keeper.shortest_lease(), Seconds{600});

  policy::NodeState third = second;
  third.entries.erase(policy::PeerKey{DeviceId{"ledger"}});
  ASSERT_FALSE(whole(third, 3));
  filter.fail_at = "filter.replace";
  keeper.write();
  keeper.written(answer);
  EXPECT_NE(nacked(answer).find("the map is full"), std::string::npos);
  EXPECT_EQ(keeper.state(), second);
  EXPECT_FALSE(keeper.holds());
  EXPECT_EQ(tunnel.held.size(), 1u) << "the tunnel is as it was";
}

TEST_F(Apply, ALargeStateOfASessionThatEndedIsHeldAndAnsweredToNobody) {
  ASSERT_FALSE(whole(test::large_state(), 2));
  keeper.write();
  keeper.begin_session();
  std::optional<wire::ToController> answer;
  keeper.written(answer);
  EXPECT_FALSE(answer);
  EXPECT_FALSE(keeper.acked_in_session());
  EXPECT_TRUE(keeper.holds());
  sequence = 0;
  policy::NodeState second = test::large_state();
  second.entries.erase(policy::PeerKey{DeviceId{"ledger"}});
  const auto answered = tell(delta(test::large_state(), second, 3));
  ASSERT_TRUE(answered && answered->has_ack());
  EXPECT_EQ(keeper.state(), second);
}

TEST_F(Apply, ADigestThatDiffersIsRefused) {
  ASSERT_TRUE(whole(base_state(), 1)->has_ack());
  policy::NodeState second = base_state();
  second.entries.erase(policy::PeerKey{DeviceId{"ledger"}});
  wire::ToNode message = delta(base_state(), second, 2);
  message.mutable_delta()->set_digest(std::string(32, 'x'));
  steps.clear();
  EXPECT_NE(nacked(tell(message)).find("digest"), std::string::npos);
  EXPECT_TRUE(steps.empty()) << "nothing was touched";
}

TEST_F(Apply, AForkedLogChangesNothing) {
  ASSERT_TRUE(whole(base_state(), 5)->has_ack());
  keeper.begin_session();
  steps.clear();
  sequence = 0;
  EXPECT_NE(nacked(whole(base_state(), 4)).find("log rewritten"), std::string::npos);
  EXPECT_FALSE(keeper.head_alarm().empty());
  EXPECT_TRUE(steps.empty());
  wire::ToNode message = delta(base_state(), base_state(), 5);
  *message.mutable_delta()->mutable_head() = pki.head(5, 1);
  EXPECT_NE(nacked(tell(message)).find("log rewritten"), std::string::npos);
  EXPECT_TRUE(tell(delta(base_state(), base_state(), 6))->has_ack());
  EXPECT_TRUE(keeper.head_alarm().empty()) << "a right head ends the alarm";
}

TEST_F(Apply, AProvisionalDeltaMayOnlyTakeAway) {
  ASSERT_TRUE(whole(base_state(), 1)->has_ack());
  policy::NodeState more = base_state();
  more.entries[policy::PeerKey{DeviceId{"web"}}] = test::peer(2, {"100.64.0.9"});
  wire::ToNode adds = delta(base_state(), more, 2);
  adds.mutable_delta()->set_provisional(true);
  adds.mutable_delta()->clear_head();
  nacked(tell(adds));
  policy::NodeState less = base_state();
  less.entries.erase(policy::PrincipalKey{address("100.64.0.2")});
  wire::ToNode takes = delta(base_state(), less, 2);
  takes.mutable_delta()->set_provisional(true);
  takes.mutable_delta()->clear_head();
  EXPECT_TRUE(tell(takes)->has_ack());
}

TEST_F(Apply, ATombstoneRaisesTheEpoch) {
  ASSERT_TRUE(whole(base_state(), 1)->has_ack());
  policy::NodeState second = base_state();
  second.entries[policy::PeerKey{DeviceId{"web"}}] = test::peer(2, {"100.64.0.9"});
  wire::ToNode message = delta(base_state(), second, 2);
  message.mutable_delta()->mutable_upserts(0)->set_was_removed(true);
  steps.clear();
  ASSERT_TRUE(tell(message)->has_ack());
  EXPECT_NE(std::ranges::find(steps, "filter.update epoch"), steps.end());
}

TEST_F(Apply, StatesOutOfTurnAreRefused) {
  nacked(tell(delta(base_state(), base_state(), 1)));  // before any whole state
  ASSERT_TRUE(whole(base_state(), 1)->has_ack());
  wire::ToNode old = delta(base_state(), base_state(), 2);
  old.mutable_delta()->set_sequence(1);
  nacked(tell(old));
  policy::NodeState empty;
  nacked(whole(empty, 3));  // no settings
}

TEST_F(Apply, HintsAreGivenOnceAndPeersKeepWhatTheyLearned) {
  ASSERT_TRUE(whole(base_state(), 1)->has_ack());
  steps.clear();
  ASSERT_TRUE(
      applier.set_endpoint_hints({{DeviceId{"ledger"}, Endpoint::parse("198.51.100.7:51820").value()}}));
  EXPECT_EQ(steps.back(), "tunnel.peers [100.64.0.3 @198.51.100.7:51820]");
  policy::NodeState second = base_state();
  second.entries[policy::PeerKey{DeviceId{"web"}}] = test::peer(2, {"100.64.0.9"});
  ASSERT_TRUE(tell(delta(base_state(), second, 2))->has_ack());
  EXPECT_NE(std::ranges::find(steps, "tunnel.peers [100.64.0.3 ] [100.64.0.9 ]"), steps.end());
  ASSERT_TRUE(applier.restore());
  EXPECT_NE(std::ranges::find(steps, "tunnel.peers [100.64.0.3 @198.51.100.7:51820] [100.64.0.9 ]"),
            steps.end())
      << "a tunnel made anew is told again";
}

TEST_F(Apply, TheStateFileGivesBackWhatWasSaved) {
  const auto file = directory.path() / "state.bin";
  EXPECT_FALSE(load_state(file)->has_value());
  ASSERT_TRUE(save_state(file, {.revision = Revision{12}, .state = base_state()}));
  const auto loaded = load_state(file);
  ASSERT_TRUE(loaded && *loaded);
  EXPECT_EQ((*loaded)->revision, Revision{12});
  EXPECT_EQ((*loaded)->state, base_state());
  const std::string content = read_file(file).value();
  for (std::size_t size = 0; size < content.size(); ++size) {
    ASSERT_TRUE(write_file(file, content.substr(0, size), 0600));
    EXPECT_FALSE(load_state(file)) << size;
  }
}

TEST_F(Apply, ReachIsToldFromTheState) {
  const auto reach =
      reach_of(base_state(), address("100.64.0.2"), [&](Seconds lease) { return clock.now() + lease; });
  ASSERT_EQ(reach.size(), 1u);
  EXPECT_EQ(reach[0].target, "ledger");
  EXPECT_EQ(reach[0].access, "tcp/5432");
  EXPECT_EQ(reach[0].rule, "traders-reach-ledger");
  EXPECT_EQ(reach[0].deadline, clock.now() + Seconds{600});
  EXPECT_TRUE(reach_of(base_state(), address("100.64.0.99"), [](Seconds) { return kNever; }).empty());
}

TEST(TimeKeeper, KeepsABoundThatStillAgrees) {
  using Change = TimeKeeper::Change;
  const Timestamp at{std::chrono::hours(1000)};
  TimeKeeper time;
  EXPECT_EQ(time.observe(1'000'000'000, 1'400'000'000, at), Change::better);
  EXPECT_EQ(time.observe(1'950'000'000, 2'300'000'000, at + std::chrono::seconds(1)), Change::none);
  EXPECT_EQ(time.observe(3'100'000'000, 3'110'000'000, at + std::chrono::seconds(2)), Change::better);
  EXPECT_EQ(time.observe(4'100'000'000, 4'110'000'000, at + std::chrono::seconds(30)), Change::moved)
      << "the controller's clock was set forward: deadlines come sooner";
  EXPECT_EQ(time.observe(5'100'000'000, 5'110'000'000, at + std::chrono::seconds(3)), Change::moved)
      << "and back";
}

}  // namespace agent_apply_test
}  // namespace cordon::node
