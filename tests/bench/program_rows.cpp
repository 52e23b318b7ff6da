#include "tests/bench/program_rows.h"

#include <fmt/format.h>

#include "node/filter/sweep.h"
#include "tests/bench/program_time.h"
#include "tests/bench/world.h"

namespace cordon::bench {
namespace {

constexpr unsigned kRepeat = 500'000, kNewFlowRepeat = 20'000, kNewRuns = 5;
constexpr double kKnownGoal = 50, kNewGoal = 280;

/// The packets of a family, and where in them a new flow is made (program_time.h).
struct Family {
  const char* name;
  Ends ends;
  Address peer;
  Where where;
};

Family family_of(bool v4) {
  return v4 ? Family{"ipv4", ends_v4(), peer_v4(0), {20, 15}}
            : Family{"ipv6", ends_v6(), peer_v6(0), {40, 23}};
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

/// New flows, each run to another granted port, so that none of its flows is known yet.
Result<Sample> time_new(int program, const Family& family, unsigned first_run, unsigned runs = kNewRuns) {
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

/// Where a new flow's time goes: the same write alone, to a table like it, when it is new, when it is full
/// and evicts, and when it was emptied (entries lie in no order then, so none is in a cache).
Result<> measure_table(Report& report, const node::KernelFilter& filter, const Family& family, int empty) {
  constexpr unsigned kFill = kFlows / kNewFlowRepeat + 2;
  const int program = filter.objects().program("overlay_in");
  CORDON_ASSIGN(const LoneWrite alone, LoneWrite::load(kFlows, family.where));
  CORDON_ASSIGN(const Sample nothing, time_new(empty, family, 0));
  const auto both = [&](const std::string& table, unsigned first_run) -> Result<> {
    if (first_run > 0) {
      CORDON_ASSIGN(const Sample flow, time_new(program, family, first_run));
      report.add(row_of("new flow, " + table + " table", flow, nothing.median, 0));
    }
    CORDON_ASSIGN(const Sample write, time_new(alone.fd(), family, first_run));
    report.add(row_of("  the write alone, " + table + " table", write, nothing.median, 0));
    return {};
  };
  CORDON_TRY(both("new", 0));
  CORDON_TRY(time_new(program, family, kNewRuns, kFill));
  CORDON_TRY(time_new(alone.fd(), family, kNewRuns, kFill));
  CORDON_TRY(both("full", kNewRuns + kFill));
  CORDON_TRY(forget_flows(filter));
  CORDON_TRY(alone.empty_table());
  return both("emptied", 2 * kNewRuns + kFill);
}

}  // namespace

Result<> forget_flows(const node::KernelFilter& filter) {
  constexpr std::uint64_t kSecondNs = 1'000'000'000;
  constexpr unsigned kSweeps =
      1000;  // each ends so many; late packets of the last turn may make flows meanwhile
  for (unsigned i = 0; i < kSweeps; ++i) {
    cordon_sweep everything{};
    everything.now_ns = system_clock().boot_ns() + kSecondNs;
    CORDON_ASSIGN(const cordon_sweep done, node::sweep(filter.objects().program("sweep"), everything));
    if (done.flows_left == 0) return {};
  }
  return fail(ErrorCode::internal, "flows are left after the sweeps");
}

std::string in_words(unsigned grants) {
  if (grants >= 1'000'000) return fmt::format("{}M grants", grants / 1'000'000);
  return grants >= 1000 ? fmt::format("{}k grants", grants / 1000) : fmt::format("{} grants", grants);
}

Result<ProgramTimes> measure_programs(Report& report, const node::KernelFilter& filter, unsigned grants,
                                      bool v4, int empty, bool with_table) {
  const int program = filter.objects().program("overlay_in"), back = filter.objects().program("overlay_out");
  const Family family = family_of(v4);
  const std::string suffix = fmt::format("{}, {}", family.name, in_words(grants));
  const test::Flow flow{family.ends.client, family.ends.server, 40000, kFirstPort};
  const test::Flow denied{family.ends.client, family.ends.server, 40000, 9};
  // New flows first: the goal is about a table with room that was never used.
  CORDON_ASSIGN(const Sample base, time_program(empty, test::tcp(flow, test::kSyn), kRepeat));
  CORDON_ASSIGN(const Sample new_base, time_new(empty, family, 0));
  CORDON_ASSIGN(const Sample fresh, time_new(program, family, 0));
  CORDON_TRY(time_once(program, test::tcp(flow, test::kSyn), 1));
  CORDON_TRY(time_once(back, test::tcp(flow.reversed(), test::kSyn | test::kAck), 1));
  CORDON_TRY(time_once(program, test::tcp(flow, test::kAck), 1));
  CORDON_ASSIGN(const Sample known, time_program(program, test::tcp(flow, test::kAck), kRepeat));
  CORDON_ASSIGN(const Sample deny, time_program(program, test::tcp(denied, test::kSyn), kRepeat));
  report.add(row_of("empty program, " + suffix, base, base.median, 0));
  report.add(row_of("known flow, " + suffix, known, base.median, kKnownGoal));
  report.add(row_of("new flow, " + suffix, fresh, new_base.median, kNewGoal));
  report.add(row_of("denied, " + suffix, deny, base.median, 0));
  if (with_table) CORDON_TRY(measure_table(report, filter, family, empty));
  return ProgramTimes{.known = known.median, .fresh = fresh.median};
}

void report_flatness(Report& report, const ProgramTimes& few, const ProgramTimes& many,
                     const std::string& suffix) {
  const auto row = [&](const std::string& name, double at_few, double at_many) {
    Row out = row_of(fmt::format("{}, {}", name, suffix), sample_of({at_many}), at_few, 0);
    out.goal = "<= 1.1";
    out.met = at_many <= at_few * 1.1;
    report.add(out);
  };
  row("known flow", few.known, many.known);
  row("new flow", few.fresh, many.fresh);
}

}  // namespace cordon::bench
