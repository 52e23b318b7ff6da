// Events: how many are sent, and that what isn't sent is counted and told.

#include <unistd.h>

#include "tests/bpf/fixture.h"

namespace cordon::test {
namespace event_test {

using node::FlowEvent;

class EventTest : public FamilyTest {
 protected:
  static std::uint64_t told(const std::vector<FlowEvent>& seen) {
    std::uint64_t all = seen.size();
    for (const FlowEvent& event : seen) all += event.suppressed;
    return all;
  }
};
CORDON_BOTH_FAMILIES(EventTest);

TEST_P(EventTest, DenialsAreRateLimitedAndTheNextTellsWhatWasNotSent) {
  write();
  for (int i = 0; i < 100; ++i) (void)in(tcp(to_server(1), kSyn));
  auto seen = events();
  EXPECT_GE(seen.size(), 8u);
  EXPECT_LT(seen.size(), 32u);
  ::usleep(1'050'000);
  (void)in(tcp(to_server(1), kSyn));
  const auto later = events();
  ASSERT_EQ(later.size(), 1u);
  seen.push_back(later[0]);
  EXPECT_EQ(told(seen), 101u);
  EXPECT_EQ(filter_->events_lost(), 0u);
}

TEST_P(EventTest, TheSweepTellsWhatNoNextDenialDoes) {
  write();
  for (int i = 0; i < 100; ++i) (void)in(tcp(to_server(1), kSyn));
  auto seen = events();
  EXPECT_EQ(sweep().denials_told, 1u);
  const auto later = events();
  ASSERT_EQ(later.size(), 1u);
  EXPECT_EQ(later[0].kind, FlowEvent::Kind::denied);
  EXPECT_EQ(later[0].reason, "no grant");
  EXPECT_EQ(later[0].source, client());
  EXPECT_EQ(later[0].destination, server());
  EXPECT_EQ(later[0].destination_port, 1);
  seen.push_back(later[0]);
  EXPECT_EQ(told(seen), 100u);
  EXPECT_EQ(sweep().denials_told, 0u);
}

TEST_P(EventTest, ReasonsOfOneSourceAreLimitedApart) {
  write();
  for (int i = 0; i < 20; ++i) (void)in(tcp(to_server(1), kSyn));
  (void)events();
  Flow nowhere = to_server(1);
  nowhere.destination = address(GetParam().stranger);
  (void)in(tcp(nowhere, kSyn));
  const auto seen = events();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].reason, "unknown target");
}

// `cordon policy learn` sees a busy source's rare ports too.
TEST_P(EventTest, ObservedDenialsAreLimitedByPort) {
  add_target(GetParam().server, 1, true);
  write();
  std::set<std::uint16_t> ports;
  for (std::uint16_t port = 1; port <= 200; ++port) {
    ASSERT_TRUE(accepts("overlay_in", udp(to_server(1000 + port))));
    for (std::uint16_t from = 1; from <= 3; ++from) (void)accepts("overlay_in", udp(to_server(1100, from)));
  }
  std::uint64_t of_busy = 0;
  for (const FlowEvent& event : events()) {
    EXPECT_EQ(event.reason, "observed");
    if (!ports.insert(event.destination_port).second) ++of_busy;
  }
  EXPECT_EQ(ports.size(), 200u);
  EXPECT_LT(of_busy, 32u);
}

TEST_P(EventTest, ManySourcesTogetherSendNoMoreThanTheBucketHolds) {
  write();
  constexpr unsigned kSources = 4000;
  const auto started = system_clock().boot_ns();
  for (unsigned i = 0; i < kSources; ++i) {
    Flow flow = to_server(1);
    flow.source.bytes[14] = static_cast<std::uint8_t>(100 + i / 256);
    flow.source.bytes[15] = static_cast<std::uint8_t>(i);
    EXPECT_FALSE(accepts("overlay_in", tcp(flow, kSyn)));
  }
  const auto refills = (system_clock().boot_ns() - started) / 125'000'000 + 2;
  auto seen = events();
  const auto cpus = static_cast<std::uint64_t>(::sysconf(_SC_NPROCESSORS_CONF));
  EXPECT_LT(seen.size(), 1024 * refills * cpus);
  EXPECT_LT(seen.size(), kSources);
  // Each of the others is told under its own source.
  for (std::uint32_t untold = sweep().untold + 1; untold > 0; untold = tell_denials().untold)
    for (const FlowEvent& event : events()) seen.push_back(event);
  for (const FlowEvent& event : events()) seen.push_back(event);
  std::set<Address> sources;
  for (const FlowEvent& event : seen) sources.insert(event.source);
  EXPECT_EQ(sources.size(), kSources);
  EXPECT_EQ(told(seen), kSources);
  EXPECT_EQ(filter_->events_lost(), 0u);
}

TEST_P(EventTest, OpeningsDontUseUpWhatDenialsNeed) {
  write();
  for (std::uint16_t from = 1; from <= 4000; ++from)
    ASSERT_TRUE(accepts("overlay_in", udp(to_server(53, from))));
  (void)events();
  (void)in(tcp(to_server(1), kSyn));
  const auto seen = events();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].kind, FlowEvent::Kind::denied);
}

}  // namespace event_test
}  // namespace cordon::test
