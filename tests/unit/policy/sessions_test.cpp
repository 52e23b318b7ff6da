#include "policy/sessions.h"

#include <gtest/gtest.h>

namespace cordon::policy {
namespace sessions_test {

using Ids = std::vector<SessionId>;

Session session(const char* id, const char* user, const char* device, int ends_s) {
  return {.id = SessionId{id},
          .user = SubjectId{user},
          .device = DeviceId{device},
          .ends_at = Timestamp(Seconds(ends_s))};
}

class SessionsTest : public testing::Test {
 protected:
  SessionsTest() {
    sessions.put(session("s-1", "ann", "jump", 10));
    sessions.put(session("s-2", "ben", "jump", 20));
    sessions.put(session("s-3", "ann", "laptop", 30));
    sessions.put(session("s-4", "ann", "jump-2", 20));
  }
  Sessions sessions;
};

TEST_F(SessionsTest, AreFoundByDevicePersonAndEnd) {
  EXPECT_EQ(sessions.on(DeviceId{"jump"}), (Ids{SessionId{"s-1"}, SessionId{"s-2"}}));
  EXPECT_EQ(sessions.on(DeviceId{"jum"}), Ids{});
  EXPECT_EQ(sessions.of(SubjectId{"ann"}), (Ids{SessionId{"s-1"}, SessionId{"s-3"}, SessionId{"s-4"}}));
  EXPECT_EQ(sessions.over(Timestamp(Seconds(9))), Ids{});
  EXPECT_EQ(sessions.over(Timestamp(Seconds(20))),
            (Ids{SessionId{"s-1"}, SessionId{"s-2"}, SessionId{"s-4"}}));
}

TEST_F(SessionsTest, AChangedSessionIsFoundByWhatItIsNow) {
  sessions.change(SessionId{"s-1"}, [](Session& s) {
    s.user = SubjectId{"ben"};
    s.device = DeviceId{"laptop"};
    s.ends_at = Timestamp(Seconds(40));
  });
  EXPECT_EQ(sessions.on(DeviceId{"jump"}), Ids{SessionId{"s-2"}});
  EXPECT_EQ(sessions.on(DeviceId{"laptop"}), (Ids{SessionId{"s-1"}, SessionId{"s-3"}}));
  EXPECT_EQ(sessions.of(SubjectId{"ben"}), (Ids{SessionId{"s-1"}, SessionId{"s-2"}}));
  EXPECT_EQ(sessions.over(Timestamp(Seconds(20))), (Ids{SessionId{"s-2"}, SessionId{"s-4"}}));
  EXPECT_EQ(sessions.size(), 4u);
}

TEST_F(SessionsTest, AClosedSessionIsFoundByNothing) {
  EXPECT_TRUE(sessions.close(sessions.find(SessionId{"s-2"})->first)) << "by its own id";
  EXPECT_FALSE(sessions.close(SessionId{"s-2"}));
  EXPECT_EQ(sessions.on(DeviceId{"jump"}), Ids{SessionId{"s-1"}});
  EXPECT_EQ(sessions.of(SubjectId{"ben"}), Ids{});
  EXPECT_EQ(sessions.over(Timestamp(Seconds(20))), (Ids{SessionId{"s-1"}, SessionId{"s-4"}}));
}

}  // namespace sessions_test
}  // namespace cordon::policy
