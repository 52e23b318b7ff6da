// From one layout, size or program to another while packets flow (I4, I10): nothing allowed is lost, nothing
// denied passes, flows are kept; a daemon that is killed at any step leaves what the next one goes on from.
// With tcx and, as on Linux 6.1, with clsact.

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bpf/older.h"
#include "tests/bpf/traffic.h"

namespace cordon::test {
namespace migrate_test {

using node::FilterConfig;
using node::KernelFilter;
using node::LoadOptions;
using testing::IsEmpty;

class MigrateTest : public FilterTest, public testing::WithParamInterface<bool> {
 protected:
  MigrateTest() {
    add_traffic_grants(state_);
    ifindex_ = net_.make_veth("c-a", "c-b");
    options_.tcx = GetParam();
    start(config_at(pins_), options_);
    EXPECT_TRUE(filter_->attach_overlay(ifindex_));
    fixed_ = base();
    EXPECT_TRUE(filter_->replace(state_, fixed_));
    EXPECT_TRUE(filter_->confirm(system_clock().boot_ns()));
  }
  void SetUp() override {
    if (options_.tcx && node::tcx::first_program(ifindex_, node::tcx::Hook::ingress) < 0)
      GTEST_SKIP() << "this kernel has no tcx";
  }
  /// The daemon dies (nothing is cleaned up) and another one starts.
  void start(const FilterConfig& config, const LoadOptions& options) {
    filter_.reset();
    auto again = KernelFilter::open(config, options);
    if (!again) throw std::runtime_error(again.error().message());
    filter_ = std::move(*again);
  }
  /// As `start`, by a process that is killed after so many steps; false when it came to its end first.
  static bool start_and_kill(const FilterConfig& config, LoadOptions options, int after) {
    const pid_t child = ::fork();
    if (child == 0) {
      options.after_step = [after, done = 0](std::string_view) mutable {
        if (++done == after) ::_exit(9);
      };
      ::_exit(KernelFilter::open(config, options) ? 0 : 1);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_NE(WEXITSTATUS(status), 1);
    return WEXITSTATUS(status) == 9;
  }
  LoadOptions with(std::span<const std::byte> programs) const {
    LoadOptions out = options_;
    out.programs = programs;
    return out;
  }
  std::set<std::string> map_pins() const {
    std::set<std::string> out;
    for (const auto& path : node::map_pins(pins_)) out.insert(path.filename());
    return out;
  }
  void expect_settled() {
    ASSERT_TRUE(filter_->adopted());
    ASSERT_TRUE(filter_->attach_overlay(ifindex_));
    EXPECT_THAT(filter_->check(), IsEmpty());
    const auto again = filter_->replace(state_, fixed_);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->written + again->removed, 0u);
    std::set<std::string> maps;
    for (const std::string& name : map_pins())
      EXPECT_TRUE(maps.insert(node::MapPin::parse(name)->map).second) << name;
  }

  NetSandbox net_;
  unsigned ifindex_ = 0;
  LoadOptions options_;
  TimeBase fixed_;
};
INSTANTIATE_TEST_SUITE_P(Ways, MigrateTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "tcx" : "clsact"; });

TEST_P(MigrateTest, ARestartAndAnotherProgramLoseNothing) {
  Traffic restarts;
  for (int i = 0; i < 3; ++i) {
    start(config_at(pins_), options_);
    expect_settled();
  }
  restarts.end_and_expect("restarts");
  const auto maps = map_pins();
  Traffic upgrades;
  start(config_at(pins_), with(rebuilt_programs()));
  expect_settled();
  start(config_at(pins_), options_);
  expect_settled();
  upgrades.end_and_expect("another program, same layout, and back");
  EXPECT_EQ(map_pins(), maps);
}

TEST_P(MigrateTest, EveryOtherSizeKeepsTheFlows) {
  const auto before = map_pins();
  Traffic traffic;
  FilterConfig config = config_at(pins_);
  config.sizes = {.principals = 2048,
                  .targets = 512,
                  .grants = 8192,
                  .grant_ranges = 512,
                  .flows = 16384,
                  .rule_counters = 512,
                  .events_bytes = 1u << 17};
  start(config, options_);
  expect_settled();
  traffic.end_and_expect("every other size");
  const auto after = map_pins();
  EXPECT_EQ(after.size(), before.size());
  std::size_t same = 0;
  for (const std::string& pin : after) same += before.count(pin);
  EXPECT_EQ(before.size() - same, 8u);                                      // underlay_flows goes with flows
  EXPECT_GT(filter_->rule_counters().value().at(RuleId(8)).packets, 100u);  // counters come along
}

TEST_P(MigrateTest, AFlowOfAnotherLayoutIsTakenOver) {
  start(config_at(pins_), with(older_programs()));
  expect_settled();
  Traffic traffic;
  ::usleep(100'000);
  start(config_at(pins_), options_);
  expect_settled();
  ::usleep(100'000);
  start(config_at(pins_), with(older_programs()));
  expect_settled();
  traffic.end_and_expect("another struct cordon_flow, and back");
}

TEST_P(MigrateTest, KilledAtAnyStepTheNextStartGoesOn) {
  FilterConfig bigger = config_at(pins_);
  bigger.sizes.grants *= 2;
  const LoadOptions older = with(older_programs());
  start(config_at(pins_), older);
  expect_settled();
  filter_.reset();
  Traffic traffic;
  int steps = 0;
  while (start_and_kill(bigger, options_, ++steps)) {
    // Forward, and back to where it came from; then killed once more and on.
    start(steps % 2 == 0 ? bigger : config_at(pins_), steps % 2 == 0 ? options_ : older);
    expect_settled();
    start(config_at(pins_), older);
    filter_.reset();
  }
  EXPECT_GE(steps, 9);
  start(bigger, options_);
  expect_settled();
  traffic.end_and_expect("killed at each of " + std::to_string(steps - 1) + " steps");
}

TEST_P(MigrateTest, ASizeThatHoldsTooLittleWaits) {
  FilterConfig smaller = config_at(pins_);
  smaller.sizes.principals = 16;
  for (std::uint32_t i = 0; i < 20; ++i)
    state_.entries[policy::PrincipalKey{Address::from_v4(0x64400100u + i)}] = policy::PrincipalValue{};
  ASSERT_TRUE(filter_->replace(state_, fixed_));
  start(smaller, options_);
  ASSERT_TRUE(filter_->attach_overlay(ifindex_));
  EXPECT_THAT(filter_->check(), testing::ElementsAre(testing::HasSubstr(
                                    "map 'principals' has 21 entries and keeps its room for 1024")));
  std::erase_if(state_.entries, [](const auto& entry) {
    const auto* key = std::get_if<policy::PrincipalKey>(&entry.first);
    return key != nullptr && key->address != address(kV4.server);
  });
  ASSERT_TRUE(filter_->replace(state_, fixed_));
  start(smaller, options_);
  expect_settled();
}

TEST_P(MigrateTest, AWholeStateAnewLosesNothing) {
  Traffic traffic;
  auto other = state_;
  other.entries.erase(policy::TargetKey{Prefix::host(address(kV4.other))});
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(filter_->replace(other, fixed_));
    ASSERT_TRUE(filter_->replace(state_, fixed_));
  }
  traffic.end_and_expect("20 whole states that take something away");
}

}  // namespace migrate_test
}  // namespace cordon::test
