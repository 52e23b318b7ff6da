// What the policy engine costs: a company compiled whole, and one change after another. The ratio is to the
// same at 1,000 devices: near linear for the whole, near 1 for a change. Times are of the CPU: the engine
// waits for nothing, so they are what an idle core takes.

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "controller/distribution/outbox.h"
#include "policy/capacity.h"
#include "policy/engine.h"
#include "policy/evaluate.h"
#include "tests/bench/policy_world.h"
#include "tests/bench/report.h"

namespace cordon::bench {
namespace {

using policy::Engine;
using policy::Touched;
using policy::World;

/// Time that this thread was on a CPU.
struct Clock {
  using duration = std::chrono::nanoseconds;
  static duration now() {
    timespec spent{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return std::chrono::seconds(spent.tv_sec) + std::chrono::nanoseconds(spent.tv_nsec);
  }
};

constexpr int kRuns = 5;
constexpr std::size_t kToldNodes = 200;

double microseconds(Clock::duration d) {
  return std::chrono::duration<double, std::micro>(d).count();
}

/// Of /proc/self/status, in MiB.
double status_mib(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(field)) return std::stod(line.substr(field.size() + 1)) / 1024;
  return 0;
}

double percentile_99(std::vector<double> samples) {
  std::ranges::sort(samples);
  return samples[(samples.size() - 1) * 99 / 100];
}

class Bench {
 public:
  Bench(Report& report, std::map<std::string, double>& at_first, CompanySize size, bool judged)
      : report_(report), at_first_(at_first), size_(size), judged_(judged), world_(company(size)) {}

  /// `only`: rows of that name; empty: all.
  void run(const std::string& only) {
    whole();
    const std::pair<const char*, void (Bench::*)()> all[] = {
        {"sessions", &Bench::sessions},   {"checks", &Bench::checks}, {"tags", &Bench::tags},
        {"rules", &Bench::rules},         {"edges", &Bench::edges},   {"room", &Bench::room},
        {"questions", &Bench::questions}, {"copies", &Bench::copies}};
    for (const auto& [name, rows] : all)
      if (only.empty() || only == name) (this->*rows)();
  }

 private:
  struct Goal {
    double most = 0;
    std::string text;
  };

  void add(const std::string& name, const std::string& metric, const std::string& unit,
           std::vector<double> runs, std::optional<Goal> goal = std::nullopt) {
    Row row{.name = fmt::format("{}, {}k devices", name, size_.devices / 1000),
            .metric = metric,
            .unit = unit,
            .sample = sample_of(std::move(runs)),
            .baseline = std::nullopt,
            .goal = "",
            .met = std::nullopt};
    if (const auto first = at_first_.find(name); first != at_first_.end()) row.baseline = first->second;
    at_first_.try_emplace(name, std::max(row.sample.median, 1.0));
    if (goal && judged_) {
      row.goal = goal->text;
      row.met = row.sample.median <= goal->most;
    }
    report_.add(row);
  }

  void whole() {
    const double before = status_mib("VmRSS:");
    std::vector<double> runs;
    for (int i = 0; i < kRuns; ++i) {
      engine_.reset();
      const auto start = Clock::now();
      engine_.emplace(world_, world_.at);
      runs.push_back(microseconds(Clock::now() - start) / 1000);
    }
    add("full compile", "ms", "ms", runs, Goal{1500, "<= 1.5 s"});
    add("memory at most (VmHWM)", "mib", "MiB", {status_mib("VmHWM:")}, Goal{800, "<= 800 MiB"});
    add("memory of the world alone", "mib", "MiB", {before});
    const Engine::Counts counts = engine_->counts();
    add("principal groups", "count", "", {static_cast<double>(counts.principal_groups)});
    add("target groups", "count", "", {static_cast<double>(counts.target_groups)});
    add("links between groups", "count", "", {static_cast<double>(counts.links)});
    add("state of a server, put together", "us", "us",
        timed([&](std::uint32_t i) { std::ignore = engine_->state(server_id(i * 37 % size_.servers())); },
              50));
    add("state of a laptop with a session", "us", "us",
        timed([&](std::uint32_t i) { std::ignore = engine_->state(laptop_id(i * 37 % size_.sessions())); },
              50));
  }

  std::vector<double> timed(const std::function<void(std::uint32_t)>& work, std::uint32_t count) {
    std::vector<double> runs;
    for (int run = 0; run < kRuns; ++run) {
      const auto start = Clock::now();
      for (std::uint32_t i = 0; i < count; ++i) work(i);
      runs.push_back(microseconds(Clock::now() - start) / count);
    }
    return runs;
  }

  /// `change` changes the world and says what it touched; `alone`: no delta is asked for.
  void changes(const std::string& name, std::uint32_t count,
               const std::function<Touched(std::uint32_t)>& change, std::optional<Goal> goal) {
    std::vector<double> alone, all, nodes, told_entries;
    for (int run = 0; run < kRuns; ++run) {
      std::vector<double> advance, deltas;
      for (std::uint32_t i = 0; i < count; ++i) {
        const Touched touched = change(i);
        const auto start = Clock::now();
        const Engine::Update update = engine_->advance(touched, world_.at);
        const auto advanced = Clock::now();
        std::size_t entries = 0;
        for (std::size_t node = 0; node < update.size(); ++node) entries += update.changes(node)->size();
        const auto done = Clock::now();
        advance.push_back(microseconds(advanced - start));
        deltas.push_back(microseconds(done - start));
        nodes.push_back(static_cast<double>(update.size()));
        told_entries.push_back(static_cast<double>(entries) / std::max<double>(1, nodes.back()));
      }
      alone.push_back(percentile_99(advance));
      all.push_back(percentile_99(deltas));
    }
    add(name, "p99_us", "us", alone, goal);
    add(name + ", with all deltas", "p99_us", "us", all, goal);
    add(name + ": nodes", "count", "", nodes);
    add(name + ": entries that a node is told", "count", "", told_entries);
    // By itself: what it leaves of the caches isn't what the engine alone would find there.
    for (std::uint32_t i = 0; i < count; ++i) tell(engine_->advance(change(i), world_.at));
    add(name + ": what one node is told, kept and digested", "us", "us", std::exchange(told_, {}));
    outboxes_.clear();
  }

  /// What the controller does with a delta for a connected node before it is written to the wire; of some
  /// nodes, as all of them would need all of the memory.
  void tell(const Engine::Update& update) {
    double spent = 0;
    std::size_t nodes = 0;
    const std::size_t step = std::max<std::size_t>(1, update.size() / kToldNodes);
    for (std::size_t i = 0; i < update.size(); ++i) {
      const auto known = outboxes_.find(update.device(i));
      if (known == outboxes_.end()) continue;
      const auto delta = update.changes(i);
      const auto start = Clock::now();
      known->second.add(*delta, Revision{1});
      std::ignore = known->second.take(controller::Outbox::Which::all);
      spent += microseconds(Clock::now() - start);
      ++nodes;
    }
    if (nodes > 0) told_.push_back(spent / static_cast<double>(nodes));
    for (std::size_t i = 0; i < update.size() && outboxes_.size() < kToldNodes; i += step)
      if (const auto [box, fresh] = outboxes_.try_emplace(update.device(i)); fresh)
        box->second.reset(engine_->state(update.device(i)));
  }

  void sessions() {
    std::uint32_t next = size_.sessions();
    std::optional<SessionId> open;
    changes(
        "a session opened or closed", 400,
        [&](std::uint32_t) -> Touched {
          if (open) {
            const SessionId closed = *std::exchange(open, std::nullopt);
            world_.sessions.close(closed);
            return {.sessions = {closed}};
          }
          policy::Session session = session_of(size_, next++);
          open = session.id;
          world_.sessions.put(std::move(session));
          return {.sessions = {*open}};
        },
        Goal{100, "p99 <= 100 us"});
    if (!open) return;
    world_.sessions.close(*open);
    engine_->advance({.sessions = {*open}}, world_.at);
  }

  void checks() {
    changes(
        "a check flipped", 400,
        [&](std::uint32_t i) -> Touched {
          policy::Device& device = world_.devices.at(laptop_id(i / 2 * 31 % size_.sessions()));
          if (device.checks->erase("os_updates") == 0) device.checks->insert("os_updates");
          return {.devices = {device.id}};
        },
        Goal{100, "p99 <= 100 us"});
  }

  void tags() {
    const auto retag = [&](std::uint32_t number) {
      policy::Device& device = world_.devices.at(server_id(number));
      if (device.tags.erase("big") == 0) device.tags.insert("big");
      policy::number_target(world_, device);
      return device.id;
    };
    changes(
        fmt::format("a tag moved, segment of 1 % of devices"), 60,
        [&](std::uint32_t i) -> Touched { return {.devices = {retag(i / 2 * 7 % size_.servers())}}; },
        Goal{5000, "p99 <= 5 ms"});
    // All members at once: each is a change of its own.
    changes(
        "a tag moved on every member", 2,
        [&](std::uint32_t) -> Touched {
          Touched touched;
          for (std::uint32_t i = 0; i < size_.servers(); ++i)
            if (size_.in_big(i)) touched.devices.push_back(retag(i));
          return touched;
        },
        std::nullopt);
  }

  void rules() {
    const std::array policies{parse_company(company_policy(size_, true)),
                              parse_company(company_policy(size_, false))};
    changes(
        "a rule for half of all sessions", 6,
        [&](std::uint32_t i) -> Touched {
          put_in_force(world_, policies[i % 2]);
          return {.policy = true};
        },
        Goal{50'000, "p99 <= 50 ms"});
  }

  /// What apply counts before a policy is in force: of every node, beside what it holds.
  void room() {
    const World next = policy::with_policy(world_, parse_company(company_policy(size_, true)));
    std::vector<double> runs = timed(
        [&](std::uint32_t) {
          if (!policy::fit(world_, next, {}, world_.at).never.empty())
            throw std::runtime_error("doesn't fit");
        },
        1);
    for (double& run : runs) run /= 1000;
    add("what nodes need for a policy, counted", "ms", "ms", runs);
  }

  /// Last: what changes after a copy is made anew, elsewhere in memory.
  void copies() {
    add("a copy of the world, as plan takes it", "us", "us",
        timed([&](std::uint32_t) { copy_ = world_; }, 10));
    copy_ = {};
  }

  /// From edge to edge: what time does by itself.
  void edges() {
    std::vector<double> runs;
    for (int i = 0; i < 200; ++i) {
      const Timestamp next = engine_->next_change_at();
      if (next == kNever) break;
      world_.at = next;
      const auto start = Clock::now();
      engine_->advance({}, next);
      runs.push_back(microseconds(Clock::now() - start));
    }
    if (!runs.empty()) add("an edge passes", "us", "us", runs);
  }

  void questions() {
    std::vector<policy::Query> queries;
    std::mt19937 random(1);
    for (int i = 0; i < 1'000; ++i)  // warm: they stay in the caches
      queries.push_back({.principal = session_id(static_cast<std::uint32_t>(random()) % size_.sessions()),
                         .target = server_id(static_cast<std::uint32_t>(random()) % size_.servers()),
                         .protocol = policy::kTcp,
                         .port = static_cast<std::uint16_t>(std::array{443, 5432, 22, 8001}[random() % 4])});
    std::size_t accepted = 0;
    const auto ask = [&](std::uint32_t i) {
      const policy::Query& q = queries[i % queries.size()];
      if (engine_->decide(q.principal, q.target, q.protocol, q.port).accept) ++accepted;
    };
    add("evaluate, warm (the engine's decide)", "ns", "ns", nanoseconds(ask, 200'000),
        Goal{1000, ">= 1 M/s"});
    const auto oracle = [&](std::uint32_t i) {
      const policy::Query& q = queries[i % queries.size()];
      if (policy::evaluate(world_, q, world_.at).verdict == policy::Verdict::allow) ++accepted;
    };
    add("the oracle's evaluate", "ns", "ns", nanoseconds(oracle, 100));
  }

  std::vector<double> nanoseconds(const std::function<void(std::uint32_t)>& work, std::uint32_t count) {
    std::vector<double> runs = timed(work, count);
    for (double& run : runs) run *= 1000;
    return runs;
  }

  Report& report_;
  std::map<std::string, double>& at_first_;
  CompanySize size_;
  bool judged_;
  World world_, copy_;
  std::optional<Engine> engine_;
  std::map<DeviceId, controller::Outbox> outboxes_;  ///< during one kind of change
  std::vector<double> told_;                         ///< a node
};

int run(bool json, std::uint32_t largest, const std::string& only) {
  Report report("policy", json);
  std::map<std::string, double> at_first;
  for (const std::uint32_t devices : {1'000u, 10'000u, 100'000u})
    if (devices == largest || (devices < largest && only.empty()))
      Bench(report, at_first, {.devices = devices}, devices == 100'000).run(only);
  return 0;
}

}  // namespace
}  // namespace cordon::bench

int main(int argc, char** argv) {
  bool json = false;
  std::uint32_t largest = 100'000;
  std::string only;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--json") {
      json = true;
    } else if (argument == "--devices" && i + 1 < argc) {
      largest = static_cast<std::uint32_t>(std::stoul(argv[++i]));
    } else if (argument == "--only" && i + 1 < argc) {
      only = argv[++i];
    } else {
      fmt::print(stderr, "usage: bench_policy [--json] [--devices MOST] [--only ROWS]\n");
      return 2;
    }
  }
  return cordon::bench::run(json, largest, only);
}
