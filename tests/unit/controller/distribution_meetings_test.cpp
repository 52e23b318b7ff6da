// Which end of a new pair begins the handshake: with nodes that were sent what the test says.

#include "controller/distribution/meetings.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace cordon::controller {
namespace distribution_meetings_test {

using Told = std::vector<std::string>;

class MeetingsTest : public testing::Test, private Meetings::Nodes {
 protected:
  bool was_sent(const DeviceId& node, const DeviceId& peer) const override {
    return sent.contains({node, peer});
  }
  void begin(const DeviceId& node, const DeviceId& peer) override {
    told.push_back(node.value + " begins with " + peer.value);
  }
  /// Both are to be sent each other at that revision.
  void meet(std::uint64_t revision) {
    meetings.added(web, ledger, Revision(revision));
    meetings.added(ledger, web, Revision(revision));
  }
  Told take() { return std::exchange(told, {}); }

  const DeviceId web{"web"}, ledger{"ledger"};
  std::set<std::pair<DeviceId, DeviceId>> sent;
  Told told;
  Meetings meetings{*this};
};

TEST_F(MeetingsTest, TheEndWhosePeerAckedFirstBegins) {
  meet(7);
  EXPECT_EQ(take(), Told{}) << "neither holds the other";
  sent = {{ledger, web}};
  meetings.acked(ledger, Revision(7));
  EXPECT_EQ(take(), Told{"web begins with ledger"}) << "even before it is sent its peer";
  sent.insert({web, ledger});
  meetings.acked(web, Revision(7));
  meetings.acked(ledger, Revision(8));
  EXPECT_EQ(take(), Told{}) << "one end alone, once";
}

TEST_F(MeetingsTest, AnAckOfSomethingElseSaysNothing) {
  meet(7);
  sent = {{ledger, web}};
  meetings.acked(ledger, Revision(6));
  EXPECT_EQ(take(), Told{});
  // web's flows wait for their targets: what it acked is all but the peers of these.
  meetings.acked(web, Revision(7));
  EXPECT_EQ(take(), Told{}) << "it wasn't sent the peer";
  meetings.acked(ledger, Revision(7));
  EXPECT_EQ(take(), Told{"web begins with ledger"});
}

TEST_F(MeetingsTest, WhoComesToAPeerThatHoldsItBegins) {
  sent = {{ledger, web}};
  meetings.added(web, ledger, Revision(9));
  EXPECT_EQ(take(), Told{"web begins with ledger"});
  sent.insert({web, ledger});
  meetings.acked(web, Revision(9));
  EXPECT_EQ(take(), Told{});
}

TEST_F(MeetingsTest, APeerThatGoesBeforeItIsAckedIsNotMet) {
  meet(7);
  meetings.removed(web, ledger);
  sent = {{ledger, web}};
  meetings.acked(ledger, Revision(8));
  EXPECT_EQ(take(), Told{});
}

TEST_F(MeetingsTest, WhoWentAwayIsMetWhenItComesAgain) {
  meet(7);
  meetings.gone(web);
  sent = {{ledger, web}};
  meetings.acked(ledger, Revision(7));
  EXPECT_EQ(take(), Told{}) << "there is nobody to be told";
  meetings.added(web, ledger, Revision(8));
  EXPECT_EQ(take(), Told{"web begins with ledger"});
}

}  // namespace distribution_meetings_test
}  // namespace cordon::controller
