// The kernel decides here, so it takes root and a bpf file system: without them these tests are skipped (77).

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "node/filter/reasons.h"
#include "tests/bpf/fixture.h"

namespace {

/// After a run of all tests: each reason that a packet can be dropped for was asserted by some test.
class EveryReasonHasACase : public testing::Environment {
 public:
  void TearDown() override {
    const auto& run = *testing::UnitTest::GetInstance();
    if (run.test_to_run_count() < run.total_test_count()) return;
    for (std::string_view name : cordon::node::kReasonNames)
      EXPECT_TRUE(name.empty() || cordon::test::met_reasons().contains(std::string(name))) << name;
  }
};

/// What a run that was killed left behind.
void remove_stale_pins() {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/fs/bpf", ignored)) {
    const std::string name = entry.path().filename().string();
    constexpr std::string_view kPrefix = "cordon-test-";
    if (!name.starts_with(kPrefix)) continue;
    const int pid = std::atoi(name.c_str() + kPrefix.size());
    if (pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH) std::filesystem::remove_all(entry.path(), ignored);
  }
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  if (::geteuid() != 0) {
    std::fputs("bpf tests: skipped, they need root\n", stderr);
    return 77;
  }
  constexpr long kBpfFsMagic = 0xcafe4a11;
  struct statfs status{};
  if (::statfs("/sys/fs/bpf", &status) != 0 || status.f_type != kBpfFsMagic) {
    std::fputs("bpf tests: skipped, no bpf file system is mounted on /sys/fs/bpf\n", stderr);
    return 77;
  }
  remove_stale_pins();
  testing::AddGlobalTestEnvironment(new EveryReasonHasACase);  // gtest owns it
  return RUN_ALL_TESTS();
}
