// scripts/bench datapath, the daemon's part: how long a state takes from the controller's first message to
// the node's receipt, and what the node's daemon uses, idle and under changes. Root only.

#include <fmt/format.h>
#include <net/if.h>
#include <sched.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <future>
#include <thread>
#include <vector>

#include "base/log.h"
#include "proto/codec.h"
#include "tests/bench/daemon_process.h"
#include "tests/bench/effort.h"
#include "tests/bench/report.h"
#include "tests/bench/world.h"
#include "tests/unit/node/link_fake_controller.h"

namespace cordon::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;
using node::test::FakeLink;

constexpr unsigned kDeltasPerSecond = 100, kChangesPerDelta = 100;
constexpr int kPatienceSeconds = 180;
constexpr auto kInterval = std::chrono::seconds(2);

double ms_since(SteadyClock::time_point start) {
  return std::chrono::duration<double, std::milli>(SteadyClock::now() - start).count();
}

/// What is sent to the node, made before it is measured.
class Messages {
 public:
  Messages(const node::test::Pki& pki, unsigned grants) : pki_(pki) {
    policy::NodeState state = state_with(grants);
    auto& settings = std::get<policy::SettingsValue>(state.entries.at(policy::SettingsKey{}));
    settings.device = DeviceId{"bench"};
    digest_ = policy::digest(state);
    wire::ToNode message;
    message.mutable_begin()->set_sequence(++sequence_);
    message.mutable_begin()->set_revision(++revision_);
    *message.mutable_begin()->mutable_head() = pki.head(revision_);
    whole_.push_back(message);
    for (const auto& [key, value] : state.entries) {
      if (!whole_.back().has_part() || whole_.back().part().entries_size() == wire::kPartEntries)
        whole_.emplace_back().mutable_part()->set_sequence(sequence_);
      *whole_.back().mutable_part()->add_entries() = wire::encode_entry(key, &value);
    }
    message.mutable_end()->set_sequence(sequence_);
    message.mutable_end()->set_digest(digest_.value().data(), digest_.value().size());
    whole_.push_back(message);
  }

  const std::vector<wire::ToNode>& whole() const { return whole_; }
  std::uint64_t revision() const { return revision_; }

  /// Half of its changes bring grants, half take away what the one before brought.
  wire::ToNode next_delta() {
    wire::ToNode message;
    auto& delta = *message.mutable_delta();
    delta.set_sequence(++sequence_);
    delta.set_revision(++revision_);
    const policy::GrantValue value{.rule = RuleId(1), .lease_s = 600};
    for (const policy::GrantKey& key : brought_) {
      *delta.add_removals() = wire::encode_entry(key, nullptr);
      digest_.remove(policy::encode(key, value));
    }
    brought_.clear();
    for (unsigned i = 0; i < kChangesPerDelta / 2; ++i) {
      brought_.push_back({.class_id = ClassId(1u << 30),
                          .target = TargetId(1),
                          .protocol = policy::kTcp,
                          .port = static_cast<std::uint16_t>(1 + i + sequence_ % 2 * kChangesPerDelta)});
      const policy::Value out = value;
      *delta.add_upserts() = wire::encode_entry(brought_.back(), &out);
      digest_.add(policy::encode(brought_.back(), value));
    }
    delta.set_digest(digest_.value().data(), digest_.value().size());
    *delta.mutable_head() = pki_.head(revision_);
    return message;
  }

 private:
  const node::test::Pki& pki_;
  std::vector<wire::ToNode> whole_;
  std::vector<policy::GrantKey> brought_;
  SetDigest digest_;
  std::uint64_t sequence_ = 0, revision_ = 0;
};

/// The controller's end of the session.
class Talk {
 public:
  Talk(FakeLink& link, const node::test::Pki& pki, const Messages& messages)
      : link_(link), pki_(pki), revision_(messages.revision()) {}

  bool welcome() {
    const auto hello = link_.read();
    if (!hello || !hello->has_hello()) return false;
    wire::ToNode out;
    auto& body = *out.mutable_welcome();
    body.set_controller("controller-1");
    body.set_echo_boot_ns(hello->hello().sent_boot_ns());
    body.set_controller_time_us(to_us(system_clock().now()));
    body.set_heartbeat_interval_ms(1000);
    *body.mutable_head() = pki_.head(revision_);
    return link_.send(out);
  }

  /// Until the node has acknowledged; false when it refused or is gone.
  bool acked() {
    for (;;) {
      const auto message = link_.read();
      if (!message || message->has_nack()) {
        if (message) fmt::print(stderr, "bench daemon: refused: {}\n", message->nack().reason());
        return false;
      }
      if (message->has_ack()) return true;
      if (message->has_heartbeat()) answer(message->heartbeat());
    }
  }

  /// Answers heartbeats; one comes each second.
  bool idle_until(SteadyClock::time_point end) {
    while (SteadyClock::now() < end) {
      const auto message = link_.read();
      if (!message) return false;
      if (message->has_heartbeat()) answer(message->heartbeat());
    }
    return true;
  }

  bool send(const wire::ToNode& message) {
    if (message.has_delta()) revision_ = message.delta().revision();
    return link_.send(message);
  }

 private:
  void answer(const wire::Heartbeat& heartbeat) {
    wire::ToNode out;
    out.mutable_heartbeat()->set_echo_boot_ns(heartbeat.sent_boot_ns());
    out.mutable_heartbeat()->set_controller_time_us(to_us(system_clock().now()));
    out.mutable_heartbeat()->set_confirm(true);
    *out.mutable_heartbeat()->mutable_head() = pki_.head(revision_);
    link_.send(out);
  }

  FakeLink& link_;
  const node::test::Pki& pki_;
  std::uint64_t revision_;  ///< the last that the node was told
};

struct Measured {
  std::vector<double> whole_ms, whole_pause_ms, delta_ms, idle_cpu, busy_cpu;
  std::uint64_t resident = 0, maps = 0;
};

/// CPU milliseconds a second over an interval that `work` fills; negative when it failed.
template <class Work>
double cpu_of(const DaemonProcess& daemon, const Work& work) {
  const auto start = SteadyClock::now();
  const double before = daemon.cpu_ms();
  if (!work(start + kInterval)) return -1;
  return (daemon.cpu_ms() - before) * 1000 / ms_since(start);
}

Result<Measured> measure(Talk& talk, Messages& messages, DaemonProcess& daemon, const Effort& effort) {
  const auto gone = [] { return fail(ErrorCode::io, "the daemon went away"); };
  Measured out;
  if (!talk.welcome()) return gone();
  const auto start = SteadyClock::now();
  for (const wire::ToNode& message : messages.whole())
    if (!talk.send(message)) return gone();
  if (!talk.acked()) return gone();
  out.whole_ms.push_back(ms_since(start));
  // Within five seconds it begins to copy the state for the disk.
  if (!talk.idle_until(SteadyClock::now() + std::chrono::seconds(8))) return gone();
  out.whole_pause_ms.push_back(daemon.longest_pause_ms());
  for (int run = 0; run < effort.runs; ++run) {
    out.idle_cpu.push_back(cpu_of(daemon, [&](auto end) { return talk.idle_until(end); }));
    if (out.idle_cpu.back() < 0) return gone();
  }
  for (int run = 0; run < effort.runs; ++run) {
    std::vector<wire::ToNode> deltas;
    for (unsigned i = 0; i < kDeltasPerSecond * kInterval.count(); ++i)
      deltas.push_back(messages.next_delta());
    out.busy_cpu.push_back(cpu_of(daemon, [&](auto end) {
      auto due = end - kInterval;
      for (const wire::ToNode& delta : deltas) {
        const auto sent = SteadyClock::now();
        if (!talk.send(delta) || !talk.acked()) return false;
        out.delta_ms.push_back(ms_since(sent));
        std::this_thread::sleep_until(due += std::chrono::milliseconds(1000 / kDeltasPerSecond));
      }
      return true;
    }));
    if (out.busy_cpu.back() < 0) return gone();
  }
  out.resident = daemon.resident_bytes();
  out.maps = daemon.map_bytes();
  return out;
}

void report_measured(Report& report, Measured measured, unsigned grants) {
  const auto row = [&](const std::string& name, const char* metric, const char* unit,
                       std::vector<double> runs) {
    report.add({.name = fmt::format("daemon: {}, {}M grants", name, grants / 1'000'000),
                .metric = metric,
                .unit = unit,
                .sample = sample_of(std::move(runs)),
                .baseline = {},
                .ratio = {},
                .goal = {},
                .met = {}});
  };
  constexpr double kMebibyte = 1024 * 1024;
  row("first message to receipt", "time", "ms", measured.whole_ms);
  row("longest pause of its loop meanwhile", "time", "ms", measured.whole_pause_ms);
  row("cpu idle", "cpu_ms_per_second", "ms/s", measured.idle_cpu);
  row(fmt::format("cpu at {}k changes a second", kDeltasPerSecond * kChangesPerDelta / 1000),
      "cpu_ms_per_second", "ms/s", measured.busy_cpu);
  row(fmt::format("{} changes to receipt", kChangesPerDelta), "time", "ms", measured.delta_ms);
  row("memory", "resident", "MiB", {static_cast<double>(measured.resident) / kMebibyte});
  row("memory of its maps", "kernel_memory", "MiB", {static_cast<double>(measured.maps) / kMebibyte});
}

/// A network of this process's own, with an interface that stands for the overlay's; its index.
Result<unsigned> own_network() {
  if (::unshare(CLONE_NEWNET) != 0) return fail_errno("can't make a network namespace", errno);
  if (std::system("ip link set lo up && ip link add c-overlay type veth peer name c-other && ip link set "
                  "c-overlay up") != 0)
    return fail(ErrorCode::io, "can't make an interface");
  return ::if_nametoindex("c-overlay");
}

Result<> run(Report& report, const Effort& effort) {
  const node::test::Pki pki;
  CORDON_ASSIGN(const unsigned ifindex, own_network());
  CORDON_ASSIGN(DaemonProcess daemon, DaemonProcess::fork(pki, ifindex));
  Messages messages(pki, effort.many_grants);
  std::promise<Result<Measured>> promise;
  auto measured = promise.get_future();
  bool first = true;
  node::test::FakeController controller(pki.chain(), pki.server_key.to_pem(), pki.root_pem,
                                        [&](FakeLink& link) {
                                          if (!std::exchange(first, false)) return;
                                          Talk talk(link, pki, messages);
                                          promise.set_value(measure(talk, messages, daemon, effort));
                                        });
  CORDON_TRY(daemon.meet(controller.endpoint()));
  for (int waited_s = 0; measured.wait_for(std::chrono::seconds(1)) != std::future_status::ready; ++waited_s)
    if (daemon.ended() || waited_s > kPatienceSeconds)
      return fail(ErrorCode::io, "the daemon doesn't answer");
  CORDON_ASSIGN(Measured result, measured.get());
  report_measured(report, std::move(result), effort.many_grants);
  return {};
}

}  // namespace
}  // namespace cordon::bench

int main(int argc, char** argv) {
  const auto options = cordon::bench::parse_options(argc, argv);
  if (!options) return 2;
  cordon::bench::Report report("datapath", options->json);
  cordon::log::set_level(cordon::log::Level::error);
  if (auto result = cordon::bench::run(report, options->effort); !result) {
    fmt::print(stderr, "bench daemon: {}\n", result.error().message());
    return 1;
  }
  return 0;
}
