// scripts/bench datapath: what the filter costs a packet, and what is left of a link's small-packet rate.
// Root only.

#include <fmt/format.h>
#include <unistd.h>

#include <cstring>

#include "node/filter/kernel_filter.h"
#include "tests/bench/program_time.h"
#include "tests/bench/report.h"
#include "tests/bench/veth_rate.h"
#include "tests/bench/world.h"

namespace cordon::bench {
namespace {

constexpr unsigned kRepeat = 500'000, kNewFlowRepeat = 60'000;
constexpr double kKnownGoal = 50, kNewGoal = 280;

struct Family {
  const char* name;
  Ends ends;
  unsigned port_offset;  // of the source port in a bare IP packet
};

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

Result<> measure_new_flows(Report& report, const node::KernelFilter& filter, const Family& family,
                           const std::string& suffix, int empty) {
  const int program = filter.objects().program("overlay_in");
  CORDON_ASSIGN(const NewFlowEach begin, NewFlowEach::load(program, family.port_offset));
  CORDON_ASSIGN(const NewFlowEach nothing, NewFlowEach::load(empty, family.port_offset));
  std::vector<double> runs, baseline;
  for (unsigned run = 0; run < 5; ++run) {
    // Each run asks for another granted port, so none of its flows is known yet.
    const auto port = static_cast<std::uint16_t>(kFirstPort + run);
    const auto packet = test::tcp({family.ends.client, family.ends.server, 1, port}, test::kSyn);
    CORDON_ASSIGN(const double ns, time_once(begin.fd(), packet, kNewFlowRepeat));
    CORDON_ASSIGN(const double base_ns, time_once(nothing.fd(), packet, kNewFlowRepeat));
    runs.push_back(ns);
    baseline.push_back(base_ns);
  }
  report.add(row_of("new flow, " + suffix, sample_of(runs), sample_of(baseline).median, kNewGoal));
  return {};
}

Result<> measure_programs(Report& report, const node::KernelFilter& filter, unsigned grants, int empty) {
  const int program = filter.objects().program("overlay_in");
  for (const Family& family : {Family{"ipv4", ends_v4(), 20}, Family{"ipv6", ends_v6(), 40}}) {
    const std::string suffix =
        fmt::format("{}, {} grants", family.name,
                    grants >= 1000 ? fmt::format("{}k", grants / 1000) : fmt::format("{}", grants));
    const test::Flow flow{family.ends.client, family.ends.server, 40000, kFirstPort};
    CORDON_ASSIGN(const Sample base, time_program(empty, test::tcp(flow, test::kSyn), kRepeat));
    report.add(row_of("empty program, " + suffix, base, base.median, 0));
    CORDON_TRY(time_once(program, test::tcp(flow, test::kSyn), 1));
    CORDON_ASSIGN(const Sample known, time_program(program, test::tcp(flow, test::kAck), kRepeat));
    report.add(row_of("known flow, " + suffix, known, base.median, kKnownGoal));
    CORDON_TRY(measure_new_flows(report, filter, family, suffix, empty));
    const test::Flow denied{family.ends.client, family.ends.server, 40000, 9};
    CORDON_ASSIGN(const Sample deny, time_program(program, test::tcp(denied, test::kSyn), kRepeat));
    report.add(row_of("denied, " + suffix, deny, base.median, 0));
  }
  return {};
}

void report_rates(Report& report, const Rates& rates) {
  const auto row = [](const char* name, const Sample& sample, double baseline) {
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
  Row against = row("udp on veth, cordon against nftables", rates.cordon, rates.nftables.median);
  against.goal = "> nftables";
  against.met = ours > theirs;
  report.add(against);
}

Result<> run(Report& report) {
  node::FilterConfig config;
  config.pin_directory = fmt::format("/sys/fs/bpf/cordon-bench-{}", ::getpid());
  CORDON_ASSIGN(auto filter, node::KernelFilter::open(config));
  const auto measure = [&]() -> Result<> {
    CORDON_ASSIGN(const auto empty, load_empty_program());
    for (unsigned grants : {10u, 100'000u}) {
      const TimeBase base{.sent_boot_ns = system_clock().boot_ns(), .controller_time = system_clock().now()};
      CORDON_TRY(filter->replace(state_with(grants), base));
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
