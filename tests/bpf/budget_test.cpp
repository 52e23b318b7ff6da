// What a principal owns of the flow table: nobody can push other people's flows out of it (the LRU map here
// holds 8192).

#include <bpf/bpf.h>

#include <algorithm>
#include <cstdlib>
#include <functional>

#include "tests/bpf/fixture.h"

namespace cordon::test {
namespace budget_test {

constexpr std::uint32_t kMost = CORDON_FLOWS_PER_PRINCIPAL;
constexpr unsigned kFlood = 60'000, kLeastFlood = 10'000;  // each more than the map holds

/// CORDON_FLOOD says how many, where 60,000 packets take their time.
unsigned flood_size() {
  const char* some = std::getenv("CORDON_FLOOD");
  return some == nullptr ? kFlood
                         : std::max(kLeastFlood, static_cast<unsigned>(std::strtoul(some, nullptr, 10)));
}

class BudgetTest : public FamilyTest {
 protected:
  BudgetTest() { add_principal(GetParam().other, 1); }
  Flow of_other(std::uint16_t port, std::uint16_t from = 40000) const {
    return {address(GetParam().other), server(), from, port};
  }
  /// `count` flows of client to a granted port that differ in their ports.
  void flood(const std::function<Packet(std::uint16_t from)>& packet, unsigned count) {
    for (unsigned i = 0; i < count; ++i)
      ASSERT_TRUE(accepts("overlay_in", packet(static_cast<std::uint16_t>(1 + i % 65535))));
  }
  void establish(const Flow& flow) {
    ASSERT_TRUE(accepts("overlay_in", tcp(flow, kSyn)));
    ASSERT_TRUE(accepts("overlay_out", tcp(flow.reversed(), kSyn | kAck)));
    ASSERT_TRUE(accepts("overlay_in", tcp(flow, kAck)));
  }
  bool knows(const Flow& flow) { return accepts("overlay_out", udp(flow.reversed())); }
};
CORDON_BOTH_FAMILIES(BudgetTest);

TEST_P(BudgetTest, PastItsShareEachPacketIsDecidedAndNothingRemembered) {
  write();
  flood([&](std::uint16_t from) { return udp(to_server(53, from)); }, 5000);
  EXPECT_EQ(filter_->rule_counters().value().at(RuleId(2)).packets, 5000u);
  EXPECT_EQ(flow_entries(), kMost);
  EXPECT_EQ(budget(client()).live, static_cast<int>(kMost));
  EXPECT_TRUE(knows(to_server(53, 1)));
  EXPECT_FALSE(knows(to_server(53, kMost + 1)));
  EXPECT_EQ(in(udp(to_server(53, kMost + 1))), accepted(2));
  EXPECT_EQ(in(udp(to_server(54, kMost + 1))), dropped("no grant"));
}

TEST_P(BudgetTest, AFloodOfUdpEvictsNobodyElsesFlow) {
  write();
  for (std::uint16_t from = 1; from <= 1000; ++from)
    ASSERT_TRUE(accepts("overlay_in", udp(of_other(53, from))));
  flood([&](std::uint16_t from) { return udp(to_server(53, from)); }, flood_size());
  flood([&](std::uint16_t from) { return echo_request(client(), server(), from); }, flood_size());
  for (std::uint16_t from = 1; from <= 1000; ++from) ASSERT_TRUE(knows(of_other(53, from))) << from;
}

TEST_P(BudgetTest, AFloodOfSynEvictsNobodyElsesFlow) {
  write();
  for (std::uint16_t from = 1; from <= 1000; ++from)
    ASSERT_TRUE(accepts("overlay_in", udp(of_other(53, from))));
  flood([&](std::uint16_t from) { return tcp(to_server(5432, from), kSyn); }, flood_size());
  flood([&](std::uint16_t from) { return tcp(to_server(5432, from), kAck); }, flood_size());
  EXPECT_EQ(budget(client()).live, static_cast<int>(kMost));
  EXPECT_EQ(budget(client()).streams, 0);
  EXPECT_EQ(flow_entries(), 1000 + kMost);
  for (std::uint16_t from = 1; from <= 1000; ++from) ASSERT_TRUE(knows(of_other(53, from))) << from;
  // TCP needs no memory: what wasn't remembered still works, both ways.
  EXPECT_EQ(in(tcp(to_server(5432, 65000), kAck)), accepted(1));
  EXPECT_EQ(out(tcp(to_server(5432, 65000).reversed(), kAck)), accepted(1));
}

TEST_P(BudgetTest, FloodsLeaveIdleTcpOfOthersAlone) {
  write();
  constexpr std::uint16_t kIdle = 1000;
  for (std::uint16_t from = 1; from <= kIdle; ++from) establish(of_other(5432, from));
  ASSERT_EQ(budget(address(GetParam().other)).streams, kIdle);
  flood([&](std::uint16_t from) { return udp(to_server(53, from)); }, flood_size());
  flood([&](std::uint16_t from) { return tcp(to_server(5432, from), kSyn); }, flood_size());
  (void)sweep(std::chrono::seconds(31));
  (void)events();
  // As established ones, with all they carried: not anew, as TCP would also be let through.
  const auto before = flow_entries();
  for (std::uint16_t from = 1; from <= kIdle; ++from) {
    ASSERT_TRUE(accepts("overlay_out", tcp(of_other(5432, from).reversed(), kAck)));
    ASSERT_TRUE(accepts("overlay_in", tcp(of_other(5432, from), kRst)));
    const auto seen = events();
    ASSERT_EQ(seen.size(), 1u) << from;
    ASSERT_EQ(seen[0].kind, node::FlowEvent::Kind::closed) << from;
    ASSERT_EQ(seen[0].packets, 5u) << from;
  }
  EXPECT_EQ(flow_entries(), before);
}

/// A service's segments that nobody asked for, to a client that may ask.
TEST_P(BudgetTest, StrayAnswersPassAndLeaveNothingBehind) {
  write();
  for (std::uint16_t port = 1; port <= 5000; ++port)
    ASSERT_TRUE(accepts("overlay_out", tcp(to_server(5432, port).reversed(), kAck)));
  EXPECT_EQ(filter_->rule_counters().value().at(RuleId(1)).packets, 5000u) << "they are counted";
  EXPECT_EQ(flow_entries(), 0u);
  EXPECT_EQ(budget(client()).live, 0);
  EXPECT_TRUE(events().empty()) << "the client began nothing";
  const Packet ping = echo_request(client(), server(), 7);
  EXPECT_EQ(in(ping), accepted(3));
  EXPECT_EQ(out(echo_reply(server(), client(), 7)), accepted(3)) << "it has its place";
}

/// As after an eviction, or a daemon that began with an empty table.
TEST_P(BudgetTest, AStreamIsRememberedAgainByItsBeginnersNextSegment) {
  write();
  const Flow flow = to_server(5432);
  establish(flow);
  forget_flows();
  (void)sweep();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(out(tcp(flow.reversed(), kAck)), accepted(1));
  EXPECT_EQ(flow_entries(), 0u);
  EXPECT_EQ(in(tcp(flow, kAck)), accepted(1));
  EXPECT_EQ(out(tcp(flow.reversed(), kAck)), accepted(1));
  EXPECT_EQ(in(tcp(flow, kAck)), accepted(1));
  EXPECT_EQ(budget(client()).streams, 1);
  EXPECT_EQ(budget(client()).live, 0);
}

TEST_P(BudgetTest, TcpIsAStreamOnceTheBeginnerAnsweredAnAnswer) {
  write();
  const Flow flow = to_server(5432);
  const auto counts = [&] { return std::pair(budget(client()).live, budget(client()).streams); };
  (void)in(tcp(flow, kSyn));
  (void)in(tcp(flow, kAck));
  EXPECT_EQ(counts(), std::pair(1, 0));
  (void)out(tcp(flow.reversed(), kSyn | kAck));
  (void)in(tcp(flow, kSyn));  // again, as when the answer was lost
  EXPECT_EQ(counts(), std::pair(1, 0));
  (void)in(tcp(flow, kAck));
  EXPECT_EQ(counts(), std::pair(0, 1));
  (void)out(tcp(flow.reversed(), kRst));
  EXPECT_EQ(counts(), std::pair(1, 0));  // a closed flow costs its owner what a new one does
  (void)in(tcp(flow, kSyn));
  EXPECT_EQ(counts(), std::pair(1, 0));
  EXPECT_EQ(flow_entries(), 1u);
}

TEST_P(BudgetTest, AClosedConnectionBeginsAnew) {
  write();
  const Flow flow = to_server(5432);
  for (int i = 0; i < 2; ++i) {
    (void)in(tcp(flow, kSyn));
    (void)in(tcp(flow, kRst));
  }
  const auto seen = events();
  ASSERT_EQ(seen.size(), 4u);
  EXPECT_EQ(seen[2].kind, node::FlowEvent::Kind::opened);
  EXPECT_EQ(seen[3].kind, node::FlowEvent::Kind::closed);
  EXPECT_EQ(seen[3].packets, 2u);
}

TEST_P(BudgetTest, ARevokedFlowLeavesItsPlace) {
  write();
  (void)in(udp(to_server(53)));
  principal(GetParam().client).class_id = ClassId(2);
  update();
  EXPECT_FALSE(accepts("overlay_in", udp(to_server(53))));
  EXPECT_EQ(budget(client()).live, 0);
}

TEST_P(BudgetTest, SilentFlowsEndAndMakeRoom) {
  write();
  flood([&](std::uint16_t from) { return udp(to_server(53, from)); }, 5000);
  for (int i = 0; i < 4; ++i) (void)in(udp(to_server(53, 7)));  // a stream waits longer
  (void)in(tcp(to_server(5432), kSyn));
  (void)events();
  EXPECT_EQ(sweep(std::chrono::seconds(15)).flows_ended, 0u);
  const auto done = sweep(std::chrono::seconds(31));
  EXPECT_EQ(done.flows_ended, kMost - 1);
  EXPECT_EQ(done.flows_left, 1u);
  EXPECT_EQ(budget(client()).live, 1);
  EXPECT_TRUE(knows(to_server(53, 7)));
  EXPECT_EQ(in(udp(to_server(53, kMost + 1))), accepted(2));
  EXPECT_TRUE(knows(to_server(53, kMost + 1)));
  EXPECT_EQ(sweep(std::chrono::seconds(301)).flows_left, 0u);
}

TEST_P(BudgetTest, TheEndOfASilentFlowIsToldWithItsBytes) {
  write();
  const Packet packet = udp(to_server(53));
  (void)in(packet);
  (void)in(packet);
  (void)events();
  EXPECT_EQ(sweep(std::chrono::seconds(31)).flows_ended, 1u);
  const auto seen = events();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].kind, node::FlowEvent::Kind::closed);
  EXPECT_EQ(seen[0].source, client());
  EXPECT_EQ(seen[0].destination_port, 53);
  EXPECT_EQ(seen[0].packets, 2u);
  EXPECT_EQ(seen[0].bytes, 2 * packet.size());
  EXPECT_EQ(seen[0].rule, RuleId(2));
}

TEST_P(BudgetTest, EstablishedTcpOutlivesEverySilenceOfADay) {
  write();
  const Flow flow = to_server(5432);
  (void)in(tcp(flow, kSyn));
  (void)out(tcp(flow.reversed(), kSyn | kAck));
  (void)in(tcp(flow, kAck));
  EXPECT_EQ(sweep(std::chrono::hours(23)).flows_left, 1u);
  EXPECT_EQ(sweep(std::chrono::hours(25)).flows_left, 0u);
}

TEST_P(BudgetTest, TheSweepNoticesWhatTheMapEvicted) {
  write();
  flood([&](std::uint16_t from) { return udp(to_server(53, from)); }, 5000);
  forget_flows();
  EXPECT_EQ(budget(client()).live, static_cast<int>(kMost));
  (void)sweep();
  EXPECT_EQ(budget(client()).live, 0);
  // And the other way round: budgets that the map evicted are counted again.
  flood([&](std::uint16_t from) { return udp(to_server(53, from)); }, 100);
  const cordon_address owner = node::to_abi(client());
  ASSERT_EQ(bpf_map_delete_elem(filter_->objects().map("flow_budgets"), &owner), 0);
  (void)sweep();
  EXPECT_EQ(budget(client()).live, 100);
}

}  // namespace budget_test
}  // namespace cordon::test
