// scripts/bench datapath: what the filter costs a packet, and what is left of a link's small-packet rate.
// Root only.

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstring>

#include "node/filter/kernel_filter.h"
#include "node/filter/sweep.h"
#include "tests/bench/program_time.h"
#include "tests/bench/report.h"
#include "tests/bench/veth_rate.h"
#include "tests/bench/world.h"

namespace cordon::bench {
namespace {

constexpr unsigned kRepeat = 500'000, kNewFlowRepeat = 48'000;
constexpr double kKnownGoal = 50, kNewGoal = 280;
constexpr std::uint32_t kFlows = 1u << 18;

struct Family {
  const char* name;
  Ends ends;
  Address peer;
  Where where;
};

std::string in_words(unsigned grants) {
  if (grants >= 1'000'000) return fmt::format("{}M grants", grants / 1'000'000);
  return grants >= 1000 ? fmt::format("{}k grants", grants / 1000) : fmt::format("{} grants", grants);
}

Row row_of(const std::string& name, const Sample& sample, double baseline, double most) {
  Row row{.name = name,
          .metric = "ns_per_packet",
          .unit = "ns",
          .sample = sample,
          .baseline = baseline,
          .goal = {},
          .met = {}};
  if (most > 0) {
    row.goal = fmt::format("<= baseline + {:.0f}", most);
    row.met = sample.median <= baseline + most;
  }
  return row;
}

Result<> forget_flows(const node::KernelFilter& filter) {
  cordon_sweep everything{};
  everything.now_ns = system_clock().boot_ns() + 1;
  for (;;) {
    CORDON_ASSIGN(const cordon_sweep done, node::sweep(filter.objects().program("sweep"), everything));
    if (done.flows_left == 0) return {};
  }
}

/// `runs` of new flows, each run to another granted port, so that none of its flows is known yet.
Result<Sample> time_new(int program, const Family& family, unsigned first_run, unsigned runs) {
  CORDON_ASSIGN(const NewFlowEach each, NewFlowEach::load(program, family.where));
  std::vector<double> ns;
  for (unsigned run = first_run; run < first_run + runs; ++run) {
    const auto port = static_cast<std::uint16_t>(kFirstPort + run);
    const auto packet = test::tcp({family.peer, family.ends.server, 1, port}, test::kSyn);
    CORDON_ASSIGN(const double once, time_once(each.fd(), packet, kNewFlowRepeat));
    ns.push_back(once);
  }
  return sample_of(std::move(ns));
}

/// First into a table with room, as on most days; then, on request, into one that is full and evicts. Beside
/// each what the write alone costs in the same state of the table.
Result<> measure_new_flows(Report& report, const node::KernelFilter& filter, const Family& family,
                           const std::string& suffix, int empty, bool full_too) {
  const int program = filter.objects().program("overlay_in");
  CORDON_TRY(forget_flows(filter));
  CORDON_ASSIGN(const LoneWrite alone, LoneWrite::load(kFlows, family.where));
  CORDON_ASSIGN(const Sample nothing, time_new(empty, family, 0, 3));
  CORDON_ASSIGN(const Sample room, time_new(program, family, 0, 3));
  report.add(row_of("new flow, " + suffix, room, nothing.median, kNewGoal));
  if (!full_too) return forget_flows(filter);
  CORDON_ASSIGN(const Sample write, time_new(alone.fd(), family, 0, 3));
  report.add(row_of("  of it the write to the table, " + suffix, write, nothing.median, 0));
  CORDON_TRY(time_new(program, family, 3, 3));
  CORDON_TRY(time_new(alone.fd(), family, 3, 3));
  CORDON_ASSIGN(const Sample full, time_new(program, family, 6, 3));
  report.add(row_of("new flow, table full, " + suffix, full, nothing.median, 0));
  CORDON_ASSIGN(const Sample full_write, time_new(alone.fd(), family, 6, 3));
  report.add(row_of("  of it the write to the table, full, " + suffix, full_write, nothing.median, 0));
  return forget_flows(filter);
}

Result<> measure_programs(Report& report, const node::KernelFilter& filter, unsigned grants, int empty) {
  const int program = filter.objects().program("overlay_in"), back = filter.objects().program("overlay_out");
  for (const Family& family :
       {Family{"ipv4", ends_v4(), peer_v4(0), {20, 15}}, Family{"ipv6", ends_v6(), peer_v6(0), {40, 23}}}) {
    const std::string suffix = fmt::format("{}, {}", family.name, in_words(grants));
    const test::Flow flow{family.ends.client, family.ends.server, 40000, kFirstPort};
    CORDON_ASSIGN(const Sample base, time_program(empty, test::tcp(flow, test::kSyn), kRepeat));
    report.add(row_of("empty program, " + suffix, base, base.median, 0));
    CORDON_TRY(measure_new_flows(report, filter, family, suffix, empty, grants == 10));
    CORDON_TRY(time_once(program, test::tcp(flow, test::kSyn), 1));
    CORDON_TRY(time_once(back, test::tcp(flow.reversed(), test::kSyn | test::kAck), 1));
    CORDON_ASSIGN(const Sample known, time_program(program, test::tcp(flow, test::kAck), kRepeat));
    report.add(row_of("known flow, " + suffix, known, base.median, kKnownGoal));
    const test::Flow denied{family.ends.client, family.ends.server, 40000, 9};
    CORDON_ASSIGN(const Sample deny, time_program(program, test::tcp(denied, test::kSyn), kRepeat));
    report.add(row_of("denied, " + suffix, deny, base.median, 0));
  }
  return {};
}

void report_rates(Report& report, const Rates& rates) {
  const auto row = [](const std::string& name, const Sample& sample, double baseline) {
    return Row{.name = name,
               .metric = "packets_per_second",
               .unit = "pps",
               .sample = sample,
               .baseline = baseline,
               .goal = {},
               .met = {}};
  };
  // Goals are judged turn by turn, by the median ratio: a noisy neighbour slows all peers of a turn alike.
  const double ours = sample_of(rates.cordon_ratio).median, theirs = sample_of(rates.nftables_ratio).median;
  report.add(row("udp on veth, unfiltered", rates.unfiltered, rates.unfiltered.median));
  Row cordon = row("udp on veth, cordon, 100k grants", rates.cordon, rates.unfiltered.median);
  cordon.goal = ">= 0.97 of unfiltered";
  cordon.met = ours >= 0.97;
  report.add(cordon);
  report.add(row("udp on veth, nftables set, 100k elements", rates.nftables, rates.unfiltered.median));
  report.add(row(fmt::format("udp on veth, {} chain, 1000 rules", rates.chain_by), rates.chain,
                 rates.unfiltered.median));
  Row against = row("udp on veth, cordon against nftables", rates.cordon, rates.nftables.median);
  against.goal = "> nftables";
  against.met = ours > theirs;
  report.add(against);
}

/// From whatever the maps held before, read back and verified.
Result<> load(Report& report, node::KernelFilter& filter, unsigned grants, const TimeBase& base) {
  const policy::NodeState state = state_with(grants);
  const auto start = std::chrono::steady_clock::now();
  CORDON_TRY(filter.replace(state, base));
  const auto took = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start);
  report.add({.name = "state written whole, " + in_words(grants),
              .metric = "ms",
              .unit = "ms",
              .sample = sample_of({took.count()}),
              .baseline = {},
              .goal = {},
              .met = {}});
  return {};
}

Result<> run(Report& report) {
  node::FilterConfig config;
  config.sizes.flows = kFlows;
  config.pin_directory = fmt::format("/sys/fs/bpf/cordon-bench-{}", ::getpid());
  CORDON_ASSIGN(auto filter, node::KernelFilter::open(config));
  const auto measure = [&]() -> Result<> {
    CORDON_ASSIGN(const auto empty, load_empty_program());
    for (unsigned grants : {10u, 1000u, 2'000'000u, 100'000u}) {
      const TimeBase base{.sent_boot_ns = system_clock().boot_ns(), .controller_time = system_clock().now()};
      CORDON_TRY(load(report, *filter, grants, base));
      CORDON_TRY(filter->confirm(base.sent_boot_ns));
      CORDON_TRY(measure_programs(report, *filter, grants, empty.get()));
    }
    CORDON_ASSIGN(const Rates rates, measure_veth(*filter, 100'000));
    report_rates(report, rates);
    return {};
  };
  auto measured = measure();
  CORDON_TRY(filter->remove_all());
  return measured;
}

}  // namespace
}  // namespace cordon::bench

int main(int argc, char** argv) {
  const bool json = argc == 2 && std::strcmp(argv[1], "--json") == 0;
  if (argc > 1 && !json) {
    fmt::print(stderr, "usage: bench_datapath [--json]\n");
    return 2;
  }
  cordon::bench::Report report("datapath", json);
  if (auto result = cordon::bench::run(report); !result) {
    fmt::print(stderr, "bench datapath: {}\n", result.error().message());
    return 1;
  }
  return 0;
}
