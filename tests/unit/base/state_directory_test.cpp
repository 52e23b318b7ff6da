#include "base/state_directory.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <thread>

#include "tests/support/temp_dir.h"

namespace cordon {
namespace state_directory_test {

using namespace std::chrono_literals;

TEST(StateDirectory, IsForOneAtATime) {
  const test::TempDir directory;
  std::optional first = StateDirectory::open(directory.path(), "controller");
  ASSERT_TRUE(*first) << first->error().message();
  const auto second = StateDirectory::open(directory.path(), "controller");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::conflict);
  EXPECT_EQ(second.error().message(),
            "another controller uses " + directory.path().string() + "; stop it first");
  first.reset();
  EXPECT_TRUE(StateDirectory::open(directory.path(), "controller")) << "let go";
}

TEST(StateDirectory, WaitsForOneThatEnds) {
  const test::TempDir directory;
  std::optional first = StateDirectory::open(directory.path(), "cordon-node");
  ASSERT_TRUE(*first);
  std::thread ending([&] {
    std::this_thread::sleep_for(100ms);
    first.reset();
  });
  EXPECT_TRUE(StateDirectory::open(directory.path(), "cordon-node", 60s));
  ending.join();
}

}  // namespace state_directory_test
}  // namespace cordon
