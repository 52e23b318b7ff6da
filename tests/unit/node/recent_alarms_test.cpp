#include "node/agent/recent_alarms.h"

#include <gmock/gmock.h>

namespace cordon::node {
namespace recent_alarms_test {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(RecentAlarms, StandForAMinuteAfterTheirCauseWasLastSeen) {
  constexpr BootNs kBegin = 1'000'000'000;
  RecentAlarms alarms;
  EXPECT_THAT(alarms.found({"b", "a"}, kBegin), ElementsAre("b", "a"));
  EXPECT_THAT(alarms.found({"a"}, kBegin + kAlarmStandsNs / 2), IsEmpty()) << "it stands already";
  EXPECT_THAT(alarms.standing(kBegin + kAlarmStandsNs - 1), ElementsAre("a", "b"));
  EXPECT_THAT(alarms.standing(kBegin + kAlarmStandsNs), ElementsAre("a"));
  EXPECT_THAT(alarms.found({}, kBegin + kAlarmStandsNs / 2 * 3), IsEmpty());
  EXPECT_THAT(alarms.standing(kBegin + kAlarmStandsNs / 2 * 3), IsEmpty());
  EXPECT_THAT(alarms.found({"a"}, kBegin + kAlarmStandsNs * 2), ElementsAre("a")) << "it is news again";
}

}  // namespace recent_alarms_test
}  // namespace cordon::node
