// Flows: epochs, deadlines, revocation, events, budgets.

#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include "tests/bpf/fixture.h"

namespace cordon::test {
namespace flow_test {

using node::FlowEvent;

class FlowTest : public FamilyTest {};
CORDON_BOTH_FAMILIES(FlowTest);

TEST_P(FlowTest, RevocationCutsBothDirectionsAtTheFirstPacket) {  // I3
  write();
  const Flow flow = to_server(5432);
  ASSERT_EQ(in(tcp(flow, kSyn)), accepted(1));
  ASSERT_EQ(out(tcp(flow.reversed(), kSyn | kAck)), accepted(1));
  principal(GetParam().client).class_id = ClassId(2);
  EXPECT_TRUE(update().epoch_raised);
  EXPECT_EQ(out(tcp(flow.reversed(), kAck)), dropped("unknown target"));
  EXPECT_EQ(in(tcp(flow, kAck)), dropped("no grant"));
}

TEST_P(FlowTest, RemovedPrincipalGrantAndTargetCutToo) {  // I3
  write();
  const auto full = state_;
  const Flow flow = to_server(53);
  const std::vector<std::pair<policy::Key, std::string>> cuts{
      {policy::PrincipalKey{client()}, "unknown principal"},
      {policy::TargetKey{Prefix::host(server())}, "unknown target"},
      {policy::GrantKey{.class_id = ClassId(1), .target = TargetId(1), .protocol = policy::kUdp, .port = 53},
       "no grant"},
  };
  for (const auto& [key, reason] : cuts) {
    state_ = full;
    update();
    ASSERT_EQ(in(udp(flow)), accepted(2));
    ASSERT_EQ(state_.entries.erase(key), 1u);
    const auto report = update();
    EXPECT_TRUE(report.epoch_raised);
    EXPECT_TRUE(report.verified);
    EXPECT_FALSE(out(udp(flow.reversed())).accept);
    EXPECT_EQ(in(udp(flow)), dropped(reason));
  }
}

TEST_P(FlowTest, WhoAnswersBeginsNothing) {
  write();
  const Flow flow = to_server(5432);
  constexpr std::uint8_t kEce = 64, kCwr = 128;
  ASSERT_EQ(in(tcp(flow, kSyn)), accepted(1));
  EXPECT_EQ(in(tcp(flow, kSyn)), accepted(1)) << "sent again";
  EXPECT_EQ(out(tcp(flow.reversed(), kSyn)), dropped("unknown target"));
  ASSERT_EQ(out(tcp(flow.reversed(), kSyn | kAck)), accepted(1));
  ASSERT_EQ(in(tcp(flow, kAck)), accepted(1));
  EXPECT_EQ(out(tcp(flow.reversed(), kSyn | kEce | kCwr)), dropped("unknown target"));
  EXPECT_EQ(in(tcp(flow, kAck)), accepted(1)) << "it goes on";
  update(true);
  EXPECT_EQ(out(tcp(flow.reversed(), kSyn)), dropped("unknown target")) << "an older epoch";
  EXPECT_EQ(in(tcp(flow, kAck)), accepted(1));
  ASSERT_EQ(out(tcp(flow.reversed(), kFin | kAck)), accepted(1));
  ASSERT_EQ(in(tcp(flow, kFin | kAck)), accepted(1));
  EXPECT_EQ(out(tcp(flow.reversed(), kSyn)), dropped("unknown target")) << "it ended";
  update(true);
  ASSERT_EQ(in(tcp(flow, kSyn)), accepted(1));
  ASSERT_EQ(out(tcp(flow.reversed(), kRst)), accepted(1));
  update(true);
  EXPECT_EQ(out(tcp(flow.reversed(), kSyn)), dropped("unknown target")) << "it ended in an older epoch";
}

TEST_P(FlowTest, WhereBothMayBeginBothMayAtOnce) {
  add_target(GetParam().client, 2);
  add_grant({.class_id = 3, .target = 2, .port = 40000, .direction = policy::Direction::egress, .rule = 9});
  write();
  const Flow flow = to_server(5432);
  ASSERT_EQ(in(tcp(flow, kSyn)), accepted(1));
  EXPECT_EQ(out(tcp(flow.reversed(), kSyn)), accepted(9));
  EXPECT_EQ(in(tcp(flow, kSyn | kAck)), accepted(1));
  EXPECT_EQ(out(tcp(flow.reversed(), kSyn | kAck)), accepted(1));
  EXPECT_EQ(flow_entries(), 1u);
  EXPECT_EQ(budget(server()).live, 0);
}

TEST_P(FlowTest, WhoAnswersBeginsNoAssociation) {
  constexpr std::uint8_t kInit = 1, kInitAck = 2;
  add_grant({.protocol = policy::kSctp, .port = 5000, .rule = 4});
  write();
  const Flow flow = to_server(5000);
  ASSERT_EQ(in(sctp(flow, kInit)), accepted(4));
  EXPECT_EQ(in(sctp(flow, kInit)), accepted(4)) << "sent again";
  ASSERT_EQ(out(sctp(flow.reversed(), kInitAck)), accepted(4));
  EXPECT_EQ(out(sctp(flow.reversed(), kInit)), dropped("unknown target"));
  EXPECT_EQ(out(sctp(flow.reversed())), accepted(4));
}

TEST_P(FlowTest, WhoIsPingedPingsNotBack) {
  write();
  for (const std::uint16_t identifier : {7, 8, 128}) {
    ASSERT_EQ(in(echo_request(client(), server(), identifier)), accepted(3));
    EXPECT_EQ(out(echo_reply(server(), client(), identifier)), accepted(3));
    EXPECT_EQ(out(echo_request(server(), client(), identifier)), dropped("unknown target")) << identifier;
  }
}

TEST_P(FlowTest, WhatGoesAsManyPacketsCountsAsMany) {
  write();
  const Flow flow = to_server(5432);
  const auto counted = [&](std::size_t bytes, unsigned size, unsigned segments) {
    const auto before = filter_->rule_counters().value()[RuleId(1)].packets;
    Packet packet = tcp(flow, kAck);
    const std::size_t headers = packet.size();
    packet.resize(headers + bytes);
    const std::size_t length = packet[0] >> 4 == 6 ? packet.size() - 40 : packet.size();
    const int length_at = packet[0] >> 4 == 6 ? 4 : 2;
    packet[length_at] = static_cast<std::uint8_t>(length >> 8);
    packet[length_at + 1] = static_cast<std::uint8_t>(length);
    __sk_buff context{};
    context.gso_size = size;
    context.gso_segs = segments;
    EXPECT_TRUE(accepts("overlay_in", packet, context));
    return filter_->rule_counters().value()[RuleId(1)].packets - before;
  };
  EXPECT_EQ(counted(3000, 1000, 3), 3u);
  EXPECT_EQ(counted(3000, 1000, 0), 3u) << "nobody said how many";
  EXPECT_EQ(counted(3100, 1000, 0), 4u);
  EXPECT_EQ(counted(1000, 1000, 0), 1u);
  EXPECT_EQ(counted(100, 1000, 0), 1u);
  EXPECT_EQ(counted(3000, 0, 0), 1u);
}

TEST_P(FlowTest, AdditionsLeaveTheEpoch) {
  write();
  const auto epoch = filter_->settings().epoch;
  add_grant({.port = 80, .rule = 4});
  EXPECT_FALSE(update().epoch_raised);
  EXPECT_EQ(filter_->settings().epoch, epoch);
  EXPECT_TRUE(update(true).epoch_raised);
  EXPECT_EQ(filter_->settings().epoch, epoch + 1);
}

TEST_P(FlowTest, ANarrowerTargetThatComesDecidesTheWiderOnesFlowsAnew) {  // I3
  const bool v4 = server().is_v4();
  state_.entries.erase(policy::TargetKey{Prefix::host(server())});
  state_.entries[policy::TargetKey{Prefix::of(server(), v4 ? 24 : 64)}] =
      policy::TargetValue{.id = TargetId(1)};
  for (const bool whole : {false, true}) {
    write();
    ASSERT_EQ(in(udp(to_server(53))), accepted(2));
    add_target(GetParam().server, 2);  // of which nothing is granted
    const auto report = whole ? filter_->replace(state_, base()).value() : update();
    EXPECT_TRUE(report.epoch_raised);
    EXPECT_FALSE(out(udp(to_server(53).reversed())).accept);
    EXPECT_EQ(in(udp(to_server(53))), dropped("no grant"));
    state_.entries.erase(policy::TargetKey{Prefix::host(server())});
    ASSERT_TRUE(filter_->replace(state_, base()));
    written_ = state_;
  }
}

TEST_P(FlowTest, NewEpochDecidesAgainAndKeepsWhatHolds) {
  write();
  const Flow flow = to_server(53);
  ASSERT_EQ(in(udp(flow)), accepted(2));
  update(true);
  // The answer has no grant of its own: it is the original tuple that is decided again.
  EXPECT_EQ(out(udp(flow.reversed())), accepted(2));
  EXPECT_EQ(in(udp(flow)), accepted(2));
}

TEST_P(FlowTest, DeadlinePassesUnderAFlow) {  // I5
  auto deadlines = never();
  deadlines[3] = kNow + std::chrono::milliseconds(300);
  add_principal(GetParam().client, 1, deadlines);
  add_grant({.protocol = policy::kUdp, .port = 99, .rule = 4, .slot = 3});
  write();
  const BootNs start = system_clock().boot_ns();
  ASSERT_EQ(in(udp(to_server(99))), accepted(4));
  while (in(udp(to_server(99))).accept) {
    ASSERT_LT(system_clock().boot_ns() - start, 2'000'000'000u);
    ::usleep(5000);
  }
  const BootNs took = system_clock().boot_ns() - start;
  EXPECT_GT(took, 200'000'000u);
  EXPECT_LT(took, 400'000'000u);
  EXPECT_EQ(in(udp(to_server(99))), dropped("grant expired"));
}

TEST_P(FlowTest, LeaseRunsFromTheLastConfirmation) {  // I5
  add_grant({.protocol = policy::kUdp, .port = 99, .rule = 4, .lease_s = 1});
  write();
  ASSERT_EQ(in(udp(to_server(99))), accepted(4));
  const BootNs start = system_clock().boot_ns();
  while (in(udp(to_server(99))).accept) {
    ASSERT_LT(system_clock().boot_ns() - start, 3'000'000'000u);
    ::usleep(10000);
  }
  EXPECT_EQ(in(udp(to_server(99))), dropped("grant expired"));
  ASSERT_TRUE(filter_->confirm(system_clock().boot_ns()));
  EXPECT_EQ(in(udp(to_server(99))), accepted(4));
  ASSERT_TRUE(filter_->confirm(1));  // a late old confirmation takes nothing back
  EXPECT_EQ(in(udp(to_server(99))), accepted(4));
}

TEST_P(FlowTest, CutFlowIsDecidedAsItsOwnBeginningToo) {  // I10: both states allow what the server begins
  add_principal(GetParam().server, 3);
  add_target(GetParam().client, 2);
  add_grant({.class_id = 3,
             .target = 2,
             .protocol = policy::kUdp,
             .port = 40000,
             .direction = policy::Direction::egress,
             .rule = 7});
  write();
  const Flow flow = to_server(53);
  ASSERT_EQ(in(udp(flow)), accepted(2));
  principal(GetParam().client).class_id = ClassId(2);
  update();
  EXPECT_EQ(out(udp(flow.reversed())), accepted(7));
}

TEST_P(FlowTest, PacketAtTheWrongHookIsNoPartOfTheFlow) {
  write();
  ASSERT_EQ(in(udp(to_server(53))), accepted(2));
  EXPECT_EQ(out(udp(to_server(53))), dropped("no grant"));
  EXPECT_EQ(in(udp(to_server(53).reversed())), dropped("unknown target"));
  EXPECT_EQ(in(udp(to_server(53))), accepted(2));
}

TEST_P(FlowTest, IsolationOfTheHostCutsWhatRunsAndReleaseBringsItBack) {
  add_grant({.port = 22, .rule = 4, .responder = true});
  write();
  ASSERT_EQ(in(tcp(to_server(5432), kSyn)), accepted(1));
  ASSERT_EQ(in(tcp(to_server(22), kSyn)), accepted(4));
  settings().isolated = true;
  EXPECT_TRUE(update().epoch_raised);
  EXPECT_EQ(in(tcp(to_server(5432), kAck)), dropped("host isolated"));
  EXPECT_EQ(in(tcp(to_server(22), kAck)), accepted(4));
  settings().isolated = false;
  update();
  EXPECT_EQ(in(tcp(to_server(5432), kSyn)), accepted(1));
}

TEST_P(FlowTest, EventsTellOpenedDeniedAndClosed) {
  write();
  (void)in(tcp(to_server(5432), kSyn));
  (void)in(tcp(to_server(5432), kAck));
  (void)in(tcp(to_server(5433), kSyn));
  (void)in(tcp(to_server(5432), kRst));
  const auto seen = events();
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[0].kind, FlowEvent::Kind::opened);
  EXPECT_EQ(seen[0].rule, RuleId(1));
  EXPECT_EQ(seen[0].source, client());
  EXPECT_EQ(seen[0].destination, server());
  EXPECT_EQ(seen[0].source_port, 40000);
  EXPECT_EQ(seen[0].destination_port, 5432);
  EXPECT_EQ(seen[0].protocol, policy::kTcp);
  EXPECT_EQ(seen[0].direction, policy::Direction::ingress);
  EXPECT_EQ(seen[1].kind, FlowEvent::Kind::denied);
  EXPECT_EQ(seen[1].reason, "no grant");
  EXPECT_EQ(seen[2].kind, FlowEvent::Kind::closed);
  EXPECT_EQ(seen[2].packets, 3u);
}

// Packets and bytes are added to one word, which is emptied into two before either part runs over.
TEST_P(FlowTest, ItsEndTellsMoreThanOneWordCounts) {
  write();
  const Packet packet = udp(to_server(53));
  const int flows = filter_->objects().map("flows");
  const std::uint64_t most_packets = (1ull << (64 - CORDON_RECENT_BIT)) - 1;
  const std::uint64_t most_bytes = (1ull << CORDON_RECENT_BIT) - 1;
  const std::pair<std::uint64_t, std::uint64_t> nearly_over[] = {{most_packets - 1, 0},
                                                                 {0, most_bytes - packet.size()}};
  for (const auto& [packets, bytes] : nearly_over) {
    ASSERT_EQ(in(packet), accepted(2));
    cordon_flow_key key{};
    cordon_flow flow{};
    ASSERT_EQ(bpf_map_get_next_key(flows, nullptr, &key), 0);
    ASSERT_EQ(bpf_map_lookup_elem(flows, &key, &flow), 0);
    flow.recent = packets << CORDON_RECENT_BIT | bytes;
    flow.packets = flow.bytes = 7;
    ASSERT_EQ(bpf_map_update_elem(flows, &key, &flow, BPF_EXIST), 0);
    for (int i = 0; i < 3; ++i) ASSERT_EQ(in(packet), accepted(2));
    (void)events();
    ASSERT_EQ(sweep(std::chrono::seconds(301)).flows_ended, 1u);
    const auto seen = events();
    ASSERT_EQ(seen.size(), 1u);
    EXPECT_EQ(seen[0].packets, 7 + packets + 3);
    EXPECT_EQ(seen[0].bytes, 7 + bytes + 3 * packet.size());
  }
}

// Whoever is on the way may send one with a wrong sequence number, which the ends pass over.
TEST_P(FlowTest, WhatPassesAfterARstIsToldToo) {
  write();
  const Flow flow = to_server(5432);
  (void)in(tcp(flow, kSyn));
  (void)out(tcp(flow.reversed(), kSyn | kAck));
  (void)in(tcp(flow, kAck));
  (void)out(tcp(flow.reversed(), kRst));
  auto seen = events();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[1].kind, FlowEvent::Kind::closed);
  EXPECT_EQ(seen[1].packets, 4u);
  std::uint64_t bytes = 0;
  const Packet segment = tcp(flow, kAck);
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(in(segment), accepted(1));
    bytes += segment.size();
  }
  (void)in(tcp(flow, kRst));
  bytes += tcp(flow, kRst).size();
  EXPECT_TRUE(events().empty()) << "until it is over";
  EXPECT_EQ(sweep(std::chrono::seconds(11)).flows_ended, 1u);
  seen = events();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].kind, FlowEvent::Kind::closed);
  EXPECT_EQ(seen[0].packets, 41u);
  EXPECT_EQ(seen[0].bytes, bytes);
}

TEST_P(FlowTest, WhatPassesAfterARstIsToldWhenTheFlowIsCutOrBeginsAnew) {
  write();
  const Flow flow = to_server(5432);
  (void)in(tcp(flow, kSyn));
  (void)in(tcp(flow, kRst));
  (void)in(tcp(flow, kAck));
  (void)events();
  (void)in(tcp(flow, kSyn));
  auto seen = events();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].kind, FlowEvent::Kind::closed);
  EXPECT_EQ(seen[0].packets, 1u);
  EXPECT_EQ(seen[1].kind, FlowEvent::Kind::opened);
  (void)in(tcp(flow, kRst));
  (void)in(tcp(flow, kAck));
  (void)events();
  principal(GetParam().client).class_id = ClassId(2);
  update();
  EXPECT_EQ(in(tcp(flow, kAck)), dropped("no grant"));
  seen = events();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].kind, FlowEvent::Kind::closed);
  EXPECT_EQ(seen[0].packets, 1u);
  EXPECT_EQ(seen[0].reason, "no grant");
}

TEST_P(FlowTest, AnOrderlyCloseIsToldOnceWithItsLastAck) {
  write();
  const Flow flow = to_server(5432);
  (void)in(tcp(flow, kSyn));
  (void)out(tcp(flow.reversed(), kSyn | kAck));
  (void)in(tcp(flow, kAck));
  (void)in(tcp(flow, kFin | kAck));
  (void)out(tcp(flow.reversed(), kFin | kAck));
  EXPECT_EQ(events().size(), 1u) << "opened";
  (void)in(tcp(flow, kAck));
  const auto seen = events();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].packets, 6u);
  EXPECT_EQ(sweep(std::chrono::seconds(11)).flows_ended, 1u);
  EXPECT_TRUE(events().empty());
}

TEST_P(FlowTest, ACloseWithoutItsLastAckIsToldByTheSweep) {
  write();
  const Flow flow = to_server(5432);
  (void)in(tcp(flow, kSyn));
  (void)in(tcp(flow, kFin | kAck));
  (void)out(tcp(flow.reversed(), kFin | kAck));
  (void)events();
  EXPECT_EQ(sweep(std::chrono::seconds(11)).flows_ended, 1u);
  const auto seen = events();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].packets, 3u);
}

TEST_P(FlowTest, BothFinsCloseOnce) {
  write();
  const Flow flow = to_server(5432);
  (void)in(tcp(flow, kSyn));
  (void)in(tcp(flow, kFin | kAck));
  EXPECT_EQ(events().size(), 1u);
  (void)out(tcp(flow.reversed(), kFin | kAck));
  (void)in(tcp(flow, kAck));
  (void)out(tcp(flow.reversed(), kFin | kAck));
  const auto seen = events();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].kind, FlowEvent::Kind::closed);
  EXPECT_EQ(seen[0].source, client());
}

}  // namespace flow_test
}  // namespace cordon::test
