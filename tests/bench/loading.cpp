#include "tests/bench/loading.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>

#include "node/filter/kernel_filter.h"
#include "tests/bench/program_rows.h"
#include "tests/bench/world.h"

namespace cordon::bench {
namespace {

constexpr double kLoadGoalMs = 1000;
constexpr int kChanges = 101;  // of one run, so cheap that more tell more

struct Times {
  std::vector<double> whole, again, change;
};

/// Milliseconds of `work`, which must give a verified report.
template <class Work>
Result<double> timed(const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  CORDON_ASSIGN(const node::ApplyReport done, work());
  const auto took = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start);
  if (!done.verified) return fail(ErrorCode::internal, "the kernel doesn't hold what was written");
  return took.count();
}

/// A grant comes and goes, one among all.
Result<> time_changes(node::KernelFilter& filter, policy::NodeState& state, const TimeBase& base,
                      std::vector<double>& times) {
  const policy::GrantKey key{
      .class_id = ClassId(1), .target = TargetId(1), .protocol = policy::kTcp, .port = 7};
  for (int i = 0; i < kChanges; ++i) {
    std::vector<policy::Change> changes{
        {.key = key, .value = policy::GrantValue{.rule = RuleId(1), .lease_s = 60}}};
    if (i % 2 == 1) changes[0].value.reset();
    CORDON_ASSIGN(const double took, timed([&] { return filter.update(state, changes, base, false); }));
    times.push_back(took);
    policy::apply(state, changes);
  }
  return {};
}

/// Into maps of their own.
Result<> load_once(policy::NodeState& state, int run, Times& times) {
  const TimeBase base{.sent_boot_ns = system_clock().boot_ns(), .controller_time = system_clock().now()};
  const node::FilterConfig config{.pin_directory =
                                      fmt::format("/sys/fs/bpf/cordon-bench-{}-load{}", ::getpid(), run)};
  CORDON_ASSIGN(auto filter, node::KernelFilter::open(config));
  const auto measure = [&]() -> Result<> {
    CORDON_ASSIGN(const double whole, timed([&] { return filter->replace(state, base); }));
    times.whole.push_back(whole);
    CORDON_ASSIGN(const double again, timed([&] { return filter->replace(state, base); }));
    times.again.push_back(again);
    return time_changes(*filter, state, base, times.change);
  };
  auto measured = measure();
  CORDON_TRY(filter->remove_all());
  return measured;
}

}  // namespace

Result<> measure_loading(Report& report, const Effort& effort) {
  policy::NodeState state = state_with(effort.many_grants);
  Times times;
  for (int run = 0; run < effort.runs; ++run) CORDON_TRY(load_once(state, run, times));
  const auto row = [&](const std::string& name, std::vector<double>& runs) {
    return Row{.name = fmt::format("{}, {}", name, in_words(effort.many_grants)),
               .metric = "time",
               .unit = "ms",
               .sample = sample_of(std::move(runs)),
               .baseline = {},
               .ratio = {},
               .goal = {},
               .met = {}};
  };
  Row whole = row("state written whole and read back", times.whole);
  whole.goal = "<= 1 s";
  whole.met = whole.sample.median <= kLoadGoalMs;
  report.add(whole);
  report.add(row("the same state again, compared", times.again));
  report.add(row("one change, read back", times.change));
  return {};
}

}  // namespace cordon::bench
