// A state whose tables are read back whole rather than row by row.

#include <bpf/bpf.h>
#include <unistd.h>

#include <string>

#include "tests/bpf/fixture.h"

namespace cordon::test {
namespace large_state_test {

/// More than a table's rows that are asked for one by one.
constexpr std::uint32_t kMany = 70'000;

class LargeState : public testing::Test {
 protected:
  LargeState() {
    state_.entries[policy::SettingsKey{}] = policy::SettingsValue{.device = DeviceId("server")};
    for (std::uint32_t i = 0; i < kMany; ++i) {
      state_.entries[principal(i)] = policy::PrincipalValue{.class_id = ClassId(1)};
      const policy::GrantKey grant{
          .class_id = ClassId(1), .target = TargetId(1 + i), .protocol = policy::kTcp, .port = 443};
      state_.entries[grant] = policy::GrantValue{.rule = RuleId(1), .lease_s = 60};
    }
  }
  void SetUp() override {
    const node::FilterConfig config{.pin_directory =
                                        "/sys/fs/bpf/cordon-test-" + std::to_string(::getpid()) + "-large"};
    auto filter = node::KernelFilter::open(config, {.only = kOverlayPrograms});
    ASSERT_TRUE(filter) << filter.error().message();
    filter_ = std::move(*filter);
  }
  void TearDown() override {
    if (!filter_) return;
    EXPECT_TRUE(filter_->remove_all());
  }

  static policy::PrincipalKey principal(std::uint32_t i) { return {Address::from_v4(0x64500000u + i)}; }
  node::ApplyReport write() {
    const auto report = filter_->replace(state_, TimeBase{});
    EXPECT_TRUE(report) << report.error().message();
    return report.value_or(node::ApplyReport{});
  }
  void remove_a_grant() const {
    const int fd = filter_->objects().map("grants");
    cordon_grant_key key{};
    ASSERT_EQ(bpf_map_get_next_key(fd, nullptr, &key), 0);
    ASSERT_EQ(bpf_map_delete_elem(fd, &key), 0);
  }

  std::unique_ptr<node::KernelFilter> filter_;
  policy::NodeState state_;
};

/// Rows with sides say what they do by the generation: those that came, changed, stayed and went.
TEST_F(LargeState, IsReadBackAndEqualsWhatWasWanted) {
  const node::ApplyReport first = write();
  EXPECT_TRUE(first.verified);
  EXPECT_GE(first.written, 2 * kMany);
  EXPECT_EQ(write().written, 0u) << "nothing differs";

  for (std::uint32_t i = 0; i < kMany; i += 50) state_.entries.erase(principal(i + 1));
  for (auto& [key, value] : state_.entries)
    if (auto* held = std::get_if<policy::PrincipalValue>(&value);
        held != nullptr && key != policy::Key(principal(2)))
      held->class_id = ClassId(2);
  const node::ApplyReport changed = write();
  EXPECT_TRUE(changed.verified);
  EXPECT_EQ(changed.removed, kMany / 50);
  EXPECT_EQ(changed.written, kMany - kMany / 50 - 1);

  remove_a_grant();
  const node::ApplyReport mended = write();
  EXPECT_TRUE(mended.verified);
  EXPECT_EQ(mended.written, 1u) << "what is missing is found among many";
}

}  // namespace large_state_test
}  // namespace cordon::test
