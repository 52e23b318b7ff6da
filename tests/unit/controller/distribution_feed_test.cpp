#include <gtest/gtest.h>

#include "controller/distribution/endpoint_table.h"
#include "controller/distribution/state_feed.h"
#include "proto/cordon.pb.h"
#include "tests/support/log_fixture.h"

namespace cordon::controller {
namespace distribution_feed_test {

using namespace test;
using policy::Change;
using policy::Direction;
using policy::GrantKey;
using policy::GrantValue;

Change grant(Direction direction, std::uint64_t class_id, std::uint16_t port, bool there = true) {
  Change change{.key = GrantKey{.direction = direction,
                                .class_id = ClassId(class_id),
                                .target = TargetId(1),
                                .protocol = policy::kTcp,
                                .port = port}};
  if (there) change.value = GrantValue{.rule = RuleId(1), .lease_s = 60};
  return change;
}

Change principal(std::uint64_t class_id) {
  return {.key = policy::PrincipalKey{must(Address::parse("100.64.0.1"))},
          .value = policy::PrincipalValue{.class_id = ClassId(class_id)}};
}

TEST(Outbox, CoalescesPerKey) {
  Outbox outbox;
  outbox.reset({});
  for (int i = 0; i < 100; ++i) outbox.add({grant(Direction::ingress, 1, 443, i % 2 == 0)}, Revision(i + 1));
  EXPECT_TRUE(outbox.empty()) << "never held, and not there in the end";
  outbox.add({grant(Direction::ingress, 1, 443)}, Revision(200));
  EXPECT_EQ(outbox.size(), 1u);
}

TEST(Outbox, ARemovalThatIsOvertakenStaysAsATombstone) {
  policy::NodeState held;
  policy::apply(held, {grant(Direction::ingress, 1, 443)});
  Outbox outbox;
  outbox.reset(held);
  outbox.add({grant(Direction::ingress, 1, 443, false)}, Revision(2));
  outbox.add({grant(Direction::ingress, 1, 443)}, Revision(3));
  ASSERT_TRUE(outbox.has(Outbox::Which::urgent));
  const auto taken = outbox.take(Outbox::Which::urgent);
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_TRUE(taken[0].value);
  EXPECT_TRUE(taken[0].was_removed);
  EXPECT_EQ(outbox.digest(), policy::digest(held));
}

TEST(Outbox, RemovalsGoFirstAndAClassMovesWithItsGrants) {
  policy::NodeState held;
  policy::apply(held, {grant(Direction::egress, 1, 443), principal(1)});
  Outbox outbox;
  outbox.reset(held);
  outbox.add({grant(Direction::egress, 1, 443, false), principal(2), grant(Direction::egress, 2, 80),
              grant(Direction::egress, 3, 22)},
             Revision(2));
  const auto urgent = outbox.take(Outbox::Which::urgent);
  ASSERT_EQ(urgent.size(), 3u);
  EXPECT_FALSE(urgent[0].value) << "the removal is first";
  EXPECT_EQ(outbox.size(), 1u) << "what has nothing to do with it waits";
  EXPECT_EQ(outbox.complete(Revision(9)), Revision(1));
}

class FeedTest : public testing::Test {
 protected:
  StateFeed::Time now_{};
  DistributionLimits limits_;
  StateFeed feed_{limits_};
  crypto::PrivateKey key_ = must(crypto::PrivateKey::generate());
  SignedHead head_{.revision = Revision(5)};
  wire::ToNode out_;

  bool next() { return feed_.next(head_, now_, out_); }
  /// Acks as a node that holds `digest`.
  Result<SignedReceipt> ack(std::uint64_t sequence, const Sha256& digest) {
    wire::ReceiptFields fields{
        .device = DeviceId("d"), .revision = head_.revision, .head_hash = head_.hash, .digest = digest};
    wire::Ack ack;
    ack.set_sequence(sequence);
    wire::Receipt& receipt = *ack.mutable_receipt();
    receipt.set_revision(head_.revision.value);
    receipt.set_head_hash(std::string(as_text(head_.hash)));
    receipt.set_digest(std::string(as_text(digest)));
    receipt.set_signature(std::string(as_text(key_.sign(wire::receipt_text(fields)))));
    return feed_.ack(ack, DeviceId("d"), key_.public_key_der(), now_);
  }
  Result<SignedReceipt> ack(std::uint64_t sequence) {
    return ack(sequence, policy::digest(feed_.held()).value());
  }
};

TEST_F(FeedTest, SendsTheWholeStateAndIsCompleteWhenItIsAcked) {
  policy::NodeState state;
  policy::apply(state, {grant(Direction::ingress, 1, 443)});
  feed_.start(state, false, Revision(5), now_);
  ASSERT_TRUE(next() && out_.has_begin());
  ASSERT_TRUE(next() && out_.has_part());
  ASSERT_TRUE(next() && out_.has_end());
  EXPECT_FALSE(next());
  EXPECT_TRUE(feed_.owes_since()) << "it may hold more than it is to";
  ASSERT_TRUE(ack(1));
  EXPECT_EQ(feed_.complete(), Revision(5));
  EXPECT_TRUE(feed_.settled());
  EXPECT_FALSE(feed_.owes_since());
}

TEST_F(FeedTest, TheWindowBoundsWhatIsUnacked) {
  feed_.start({}, true, Revision(5), now_);
  std::uint16_t port = 1;
  std::size_t sent = 0;
  for (int i = 0; i < 50; ++i) {
    feed_.add({grant(Direction::ingress, 1, port++)}, Revision(6 + i), now_);
    while (next()) ++sent;
  }
  EXPECT_EQ(sent, limits_.window);
  ASSERT_TRUE(ack(sent, Sha256{}).error().code == ErrorCode::conflict) << "another digest";
}

TEST_F(FeedTest, WhatStartsFlowsWaitsForItsTargetsButNotForEver) {
  feed_.start({}, true, Revision(5), now_);
  ASSERT_TRUE(next());
  feed_.add({grant(Direction::egress, 1, 443)}, Revision(6), now_);
  EXPECT_EQ(feed_.holding(), Revision(6));
  EXPECT_FALSE(next());
  now_ = *feed_.wake();
  ASSERT_TRUE(next());
  EXPECT_EQ(out_.delta().upserts_size(), 1);
  feed_.add({grant(Direction::egress, 1, 444)}, Revision(7), now_);
  EXPECT_FALSE(next());
  feed_.release();
  EXPECT_TRUE(next());
}

TEST_F(FeedTest, WhatIsUndoneBeforeItWasToldOwesNothingOnceTheNodeHasAcked) {
  feed_.start({}, true, Revision(5), now_);
  ASSERT_TRUE(next() && ack(1));
  feed_.add({grant(Direction::egress, 1, 443)}, Revision(6), now_);
  ASSERT_FALSE(next()) << "it is held back for its targets";
  feed_.add({grant(Direction::egress, 1, 443, false)}, Revision(7), now_);
  EXPECT_TRUE(feed_.owes_since());
  ASSERT_TRUE(next()) << "only a receipt proves revision 7";
  EXPECT_EQ(out_.delta().upserts_size() + out_.delta().removals_size(), 0);
  EXPECT_FALSE(next()) << "one is enough";
  ASSERT_TRUE(ack(2));
  EXPECT_FALSE(feed_.owes_since());
  EXPECT_EQ(feed_.complete(), Revision(7));
  EXPECT_TRUE(feed_.settled());
}

TEST_F(FeedTest, WhatIsUndoneBehindAFullWindowOwesNothingOnceTheNodeHasAcked) {
  feed_.start({}, true, Revision(5), now_);
  std::vector<Sha256> digests;
  const auto send = [&] {
    while (next()) digests.push_back(policy::digest(feed_.held()).value());
  };
  send();
  for (std::uint16_t i = 1; digests.size() < limits_.window; ++i) {
    feed_.add({grant(Direction::ingress, 1, i)}, Revision(5 + i), now_);
    send();
  }
  feed_.add({grant(Direction::ingress, 2, 443)}, Revision(20), now_);
  feed_.add({grant(Direction::ingress, 2, 443, false)}, Revision(21), now_);
  for (std::uint64_t sequence = 1; sequence <= digests.size(); ++sequence) {
    ASSERT_TRUE(ack(sequence, digests[sequence - 1]));
    send();
  }
  EXPECT_FALSE(feed_.owes_since());
  EXPECT_EQ(feed_.complete(), Revision(21));
}

TEST_F(FeedTest, RemovalsDontWaitForAnything) {
  policy::NodeState state;
  policy::apply(state, {grant(Direction::egress, 1, 443)});
  feed_.start(state, true, Revision(5), now_);
  ASSERT_TRUE(next());
  feed_.add({grant(Direction::egress, 1, 443, false), grant(Direction::egress, 2, 80)}, Revision(6), now_);
  ASSERT_TRUE(next());
  EXPECT_EQ(out_.delta().removals_size(), 1);
  EXPECT_EQ(out_.delta().upserts_size(), 0);
  EXPECT_TRUE(feed_.owes_since());
}

TEST_F(FeedTest, AfterANackAWholeStateComesWithGrowingPauses) {
  feed_.start({}, true, Revision(5), now_);
  ASSERT_TRUE(next());
  EXPECT_FALSE(feed_.nack(77, now_)) << "never sent";
  ASSERT_TRUE(feed_.nack(1, now_));
  EXPECT_FALSE(next());
  EXPECT_EQ(*feed_.wake(), now_ + limits_.resync_first);
  now_ = *feed_.wake();
  ASSERT_TRUE(next() && out_.has_begin());
  ASSERT_TRUE(feed_.nack(2, now_));
  EXPECT_EQ(*feed_.wake(), now_ + 2 * limits_.resync_first);
}

TEST_F(FeedTest, WhatTakesAccessAwayDoesNotWaitForThePauseAfterANack) {
  policy::NodeState state;
  policy::apply(state, {grant(Direction::ingress, 1, 443)});
  feed_.start(state, true, Revision(5), now_);
  ASSERT_TRUE(next());
  ASSERT_TRUE(feed_.nack(1, now_));
  feed_.add({grant(Direction::ingress, 1, 80)}, Revision(6), now_);
  EXPECT_FALSE(next()) << "an addition waits";
  EXPECT_FALSE(feed_.urgent(now_));
  feed_.add({grant(Direction::ingress, 1, 443, false)}, Revision(7), now_);
  EXPECT_EQ(*feed_.wake(), now_);
  EXPECT_TRUE(feed_.urgent(now_));
  ASSERT_TRUE(next() && out_.has_begin());
  EXPECT_TRUE(feed_.urgent(now_)) << "until it is told to its end";
}

TEST_F(FeedTest, OnlyWhatTakesAccessAwayIsUrgent) {
  policy::NodeState state;
  policy::apply(state, {grant(Direction::ingress, 1, 443)});
  feed_.start(state, false, Revision(5), now_);
  EXPECT_FALSE(feed_.urgent(now_)) << "the first state: where its peers are goes ahead of it";
  while (next()) EXPECT_FALSE(feed_.urgent(now_));
  feed_.add({grant(Direction::ingress, 1, 80)}, Revision(6), now_);
  EXPECT_FALSE(feed_.urgent(now_));
  feed_.add({grant(Direction::ingress, 1, 443, false)}, Revision(7), now_);
  EXPECT_TRUE(feed_.urgent(now_));
  ASSERT_TRUE(next());
  EXPECT_EQ(out_.delta().removals_size(), 1);
  EXPECT_FALSE(feed_.urgent(now_));
}

TEST_F(FeedTest, AReceiptIsOnlyTakenForWhatWasSentAndSigned) {
  feed_.start({}, true, Revision(5), now_);
  ASSERT_TRUE(next());
  EXPECT_EQ(ack(9).error().code, ErrorCode::not_found);
  const auto good_key = key_;
  wire::Ack unsigned_ack;
  unsigned_ack.set_sequence(1);
  EXPECT_EQ(feed_.ack(unsigned_ack, DeviceId("d"), key_.public_key_der(), now_).error().code,
            ErrorCode::protocol);
  EXPECT_TRUE(ack(1));
  EXPECT_EQ(ack(1).error().code, ErrorCode::not_found) << "once";
}

TEST(EndpointTable, AdvertisedWinsThenWhatPeersSee) {
  EndpointTable table;
  const DeviceId device("d");
  const auto at = [](const char* text) { return must(Endpoint::parse(text)); };
  EXPECT_FALSE(table.observed(device, at("192.0.2.1:1"))) << "unknown devices aren't made by hearsay";
  EXPECT_TRUE(table.connected(device, at("192.0.2.1:51820")));
  EXPECT_TRUE(table.observed(device, at("192.0.2.1:4000")));
  EXPECT_FALSE(table.connected(device, at("192.0.2.1:51820"))) << "a reconnect from the same place";
  EXPECT_EQ(table.find(device)->port, 4000);
  EXPECT_TRUE(table.connected(device, at("192.0.2.2:51820"))) << "it moved";
  EXPECT_TRUE(table.advertised(device, at("203.0.113.1:1")));
  EXPECT_FALSE(table.observed(device, at("192.0.2.9:9")));
  EXPECT_EQ(table.find(device)->to_string(), "203.0.113.1:1");
}

}  // namespace distribution_feed_test
}  // namespace cordon::controller
