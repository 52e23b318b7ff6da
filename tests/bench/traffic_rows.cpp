#include "tests/bench/traffic_rows.h"

#include <fmt/format.h>
#include <net/if.h>

#include <algorithm>
#include <functional>

#include "tests/bench/namespaces.h"
#include "tests/bench/peers.h"
#include "tests/bench/program_rows.h"
#include "tests/bench/traffic.h"
#include "tests/bench/userspace_tunnel.h"

namespace cordon::bench {
namespace {

constexpr unsigned kChainRules = 1000;

/// One way for traffic to go; the first of several is what the others are compared with.
struct Contender {
  std::string name;
  std::string from, to;
  bool is_ours = false;
};

struct Metric {
  const char *name, *metric, *unit;
  std::function<Result<double>(const Way&, Milliseconds)> run;
  double per_unit = 1;
  bool is_throughput = false;  ///< which has a goal
};

const Metric kTcpThroughput{"tcp throughput", "bits_per_second", "Mbit/s", tcp_bits_per_second, 1e6, true};
const Metric kTcpConnects{"tcp connects", "connects_per_second", "per s", tcp_connects_per_second};
const Metric kPing{"ping p99 under load", "latency_p99", "us", loaded_ping_p99_us};

/// Rates of each contender, turn by turn; a noisy neighbour slows all of a turn alike.
using Turns = std::vector<std::vector<double>>;

double median_ratio(const std::vector<double>& of, const std::vector<double>& to) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < of.size(); ++i) ratios.push_back(of[i] / to[i]);
  return sample_of(std::move(ratios)).median;
}

void report_turns(Report& report, const std::vector<Contender>& contenders, const Metric& metric,
                  const std::string& where, const Turns& turns) {
  const double baseline = sample_of(turns.front()).median;
  for (std::size_t i = 0; i < contenders.size(); ++i) {
    Row row{.name = fmt::format("{}, {}, {}", metric.name, where, contenders[i].name),
            .metric = metric.metric,
            .unit = metric.unit,
            .sample = sample_of(turns[i]),
            .baseline = baseline,
            .ratio = median_ratio(turns[i], turns.front()),
            .goal = {},
            .met = {}};
    if (contenders[i].is_ours && metric.is_throughput) {
      row.goal = ">= 0.97 of unfiltered";
      row.met = *row.ratio >= 0.97;
    }
    report.add(row);
  }
}

/// Ours against another's, by the turns' ratios.
void report_against(Report& report, const Metric& metric, const std::string& where, const Contender& other,
                    const std::vector<double>& ours, const std::vector<double>& theirs) {
  const double ratio = median_ratio(ours, theirs);
  report.add({.name = fmt::format("{}, {}, cordon against {}", metric.name, where, other.name),
              .metric = metric.metric,
              .unit = metric.unit,
              .sample = sample_of(ours),
              .baseline = sample_of(theirs).median,
              .ratio = ratio,
              .goal = "> 1",
              .met = ratio > 1});
}

Result<Turns> take_turns(const node::KernelFilter& filter, const std::vector<Contender>& contenders,
                         const Metric& metric, const Ends& ends, const Effort& effort) {
  Turns turns(contenders.size());
  for (int turn = 0; turn < effort.runs; ++turn) {
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      CORDON_TRY(forget_flows(filter));  // those of earlier turns count as their owner's
      auto rate = metric.run({contenders[i].from, contenders[i].to, ends}, effort.time);
      if (!rate)
        return std::unexpected(
            in_context(rate.error(), fmt::format("{}, {}", metric.name, contenders[i].name)));
      turns[i].push_back(*rate / metric.per_unit);
    }
  }
  return turns;
}

Result<> measure_all(Report& report, const node::KernelFilter& filter,
                     const std::vector<Contender>& contenders, const std::vector<Metric>& metrics,
                     const std::string& link, const Effort& effort) {
  for (const Metric& metric : metrics) {
    for (const bool v4 : {true, false}) {
      const Ends ends = v4 ? ends_v4() : ends_v6();
      const std::string where = fmt::format("{}, {}", link, v4 ? "ipv4" : "ipv6");
      CORDON_ASSIGN(const Turns turns, take_turns(filter, contenders, metric, ends, effort));
      report_turns(report, contenders, metric, where, turns);
      const auto ours = std::ranges::find_if(contenders, &Contender::is_ours) - contenders.begin();
      for (std::size_t i = 0; i < contenders.size() && metric.is_throughput; ++i)
        if (contenders[i].name.starts_with("nftables"))
          report_against(report, metric, where, contenders[i], turns[static_cast<std::size_t>(ours)],
                         turns[i]);
    }
  }
  return {};
}

}  // namespace

Result<> measure_veth(Report& report, node::KernelFilter& filter, unsigned grants, int empty_program,
                      const Effort& effort) {
  CORDON_ASSIGN(const Namespaces namespaces, Namespaces::make(5, true));
  CORDON_ASSIGN(const auto empty, attach_empty_program(receiver(1), empty_program));
  {
    const Inside inside(receiver(2));
    CORDON_TRY(filter.attach_overlay(::if_nametoindex(kLink)));
  }
  CORDON_TRY(load_nftables_sets(receiver(3), grants));
  CORDON_ASSIGN(const std::string chain_by, load_iptables_chain(receiver(4), kChainRules));
  const std::vector<Contender> contenders{
      {.name = "unfiltered", .from = sender(0), .to = receiver(0)},
      {.name = "empty program", .from = sender(1), .to = receiver(1)},
      {.name = "cordon", .from = sender(2), .to = receiver(2), .is_ours = true},
      {.name = "nftables sets", .from = sender(3), .to = receiver(3)},
      {.name = fmt::format("{}, {} rules", chain_by, kChainRules), .from = sender(4), .to = receiver(4)},
  };
  const Metric udp{"udp", "packets_per_second", "per s", udp_packets_per_second, 1, true};
  return measure_all(report, filter, contenders, {udp, kTcpThroughput, kTcpConnects, kPing}, "veth", effort);
}

Result<> measure_wireguard(Report& report, node::KernelFilter& filter, const Effort& effort) {
  CORDON_ASSIGN(const Namespaces namespaces, Namespaces::make(2, false));
  CORDON_ASSIGN(const UserspaceTunnel plain, UserspaceTunnel::make(0));
  CORDON_ASSIGN(const UserspaceTunnel filtered, UserspaceTunnel::make(1));
  {
    const Inside inside(receiver(1));
    CORDON_TRY(filter.attach_overlay(::if_nametoindex(filtered.receiver_interface().c_str())));
  }
  const std::vector<Contender> contenders{
      {.name = "unfiltered", .from = sender(0), .to = receiver(0)},
      {.name = "cordon", .from = sender(1), .to = receiver(1), .is_ours = true},
  };
  const Metric udp{"udp", "packets_per_second", "per s", udp_packets_received_per_second, 1, true};
  return measure_all(report, filter, contenders, {udp, kTcpThroughput, kTcpConnects, kPing}, "wireguard-go",
                     effort);
}

}  // namespace cordon::bench
