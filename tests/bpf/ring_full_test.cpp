// A ring of events that nobody empties (fault injection): what doesn't fit is counted, no packet waits or is
// judged otherwise, and once it is read all goes on.

#include "tests/bpf/fixture.h"

namespace cordon::test {
namespace ring_full_test {

class RingFullTest : public FilterTest {
 protected:
  RingFullTest() : FilterTest(kOverlayPrograms) {
    add_principal(kV4.client, 1);
    add_target(kV4.server, 1);
    add_grant({.protocol = policy::kUdp, .port = 53, .rule = 1});
  }
  static Packet opening(std::uint16_t port) {
    return udp({address(kV4.client), address(kV4.server), port, 53});
  }
};

TEST_F(RingFullTest, WhatDoesNotFitIsCountedAndNothingElseChanges) {
  constexpr std::uint16_t kOpenings = 1000;  // fewer than may be sent at once, more than 64 KiB hold
  write();
  for (std::uint16_t i = 0; i < kOpenings; ++i) EXPECT_TRUE(accepts("overlay_in", opening(10000 + i)));
  const auto lost = filter_->events_lost();
  EXPECT_GT(lost, 0u);
  EXPECT_EQ(in(udp({address(kV4.client), address(kV4.server), 40000, 54})), dropped("no grant"));
  EXPECT_EQ(filter_->events_lost(), lost) << "a denial is counted for its source";
  EXPECT_EQ(flow_entries(), kOpenings);
  EXPECT_EQ(events().size() + lost, kOpenings);
  EXPECT_TRUE(accepts("overlay_in", opening(9999)));
  const auto seen = events();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen.front().source_port, 9999);
  EXPECT_EQ(filter_->events_lost(), lost);
  EXPECT_EQ(sweep().denials_told, 1u);
  const auto told = events();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told.front().reason, "no grant");
  EXPECT_EQ(told.front().source, address(kV4.client));
}

TEST_F(RingFullTest, WhatTheSweepHasNoRoomForIsToldLater) {
  constexpr unsigned kSources = 1500;  // twice what 64 KiB hold
  write();
  for (int i = 0; i < 1000; ++i)
    EXPECT_TRUE(accepts("overlay_in", opening(static_cast<std::uint16_t>(10000 + i))));
  for (unsigned i = 0; i < kSources; ++i) {
    Flow from{address("100.64.77.0"), address(kV4.server), 40000, 53};
    from.source.bytes[14] = static_cast<std::uint8_t>(77 + i / 256);
    from.source.bytes[15] = static_cast<std::uint8_t>(i);
    EXPECT_FALSE(accepts("overlay_in", udp(from)));
  }
  EXPECT_EQ(sweep().untold, kSources);
  std::set<Address> told;
  for (std::uint32_t untold = kSources; untold > 0;) {
    for (const node::FlowEvent& event : events())
      if (event.kind == node::FlowEvent::Kind::denied) {
        EXPECT_TRUE(told.insert(event.source).second);
      }
    const auto left = tell_denials().untold;
    ASSERT_LT(left, untold);
    untold = left;
  }
  for (const node::FlowEvent& event : events()) EXPECT_TRUE(told.insert(event.source).second);
  EXPECT_EQ(told.size(), kSources);
}

}  // namespace ring_full_test
}  // namespace cordon::test
