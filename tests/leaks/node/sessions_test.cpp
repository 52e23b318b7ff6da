// 10,000 sessions opened and closed leave a node's kernel and process as they were: map entries, pins,
// addresses, rules, routes, interfaces, sockets, descriptors, memory. The applier on the real filter and
// netlink, in a namespace of its own.

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <net/if.h>

#include <filesystem>
#include <map>

#include "node/agent/applier.h"
#include "node/filter/kernel_filter.h"
#include "node/filter/sweep.h"
#include "tests/bpf/packet.h"
#include "tests/support/network_namespace.h"
#include "tests/unit/node/agent_fakes.h"
#include "tests/unit/node/agent_states.h"

namespace cordon::node {
namespace leaks_test {

constexpr int kSessions = 10'000, kAtOnce = 4, kWarmUp = 600;

class QuietTunnel : public test::FakeTunnel {
 public:
  explicit QuietTunnel(test::Steps& steps, unsigned ifindex) : FakeTunnel(steps), ifindex_(ifindex) {}
  unsigned ifindex() const override { return ifindex_; }

 private:
  unsigned ifindex_;
};

std::string output_of(const std::string& command) {
  std::string out;
  FILE* pipe = ::popen(command.c_str(), "r");
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) out += static_cast<char>(c);
  ::pclose(pipe);
  return out;
}

std::size_t entries_of(const std::filesystem::path& pin) {
  const Descriptor map(bpf_obj_get(pin.c_str()));
  bpf_map_info info{};
  __u32 size = sizeof info;
  if (!map || bpf_obj_get_info_by_fd(map.get(), &info, &size) != 0) return 0;
  if (info.type == BPF_MAP_TYPE_ARRAY || info.type == BPF_MAP_TYPE_PERCPU_ARRAY ||
      info.type == BPF_MAP_TYPE_RINGBUF)
    return 0;
  std::vector<std::uint8_t> key(info.key_size), next(info.key_size);
  std::size_t count = 0;
  for (int error = bpf_map_get_next_key(map.get(), nullptr, next.data()); error == 0;
       error = bpf_map_get_next_key(map.get(), key.data(), next.data())) {
    key = next;
    ++count;
  }
  return count;
}

/// What there is, in words that can be compared.
struct Held {
  std::map<std::string, std::size_t> pins;  ///< with the entries of maps
  std::string network;
  std::size_t descriptors = 0;
  bool operator==(const Held&) const = default;
};
void PrintTo(const Held& held, std::ostream* out) {
  for (const auto& [pin, entries] : held.pins) *out << pin << " " << entries << "\n";
  *out << held.network << held.descriptors << " descriptors\n";
}

class Leaks : public testing::Test {
 protected:
  void SetUp() override {
    if (!is_root()) GTEST_SKIP() << "needs root";
    if (::unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "no network namespace";
    ASSERT_EQ(std::system("sysctl -qw net.ipv6.conf.default.addr_gen_mode=1; ip link set lo up; ip link add "
                          "cdn-x type veth peer name cdn-y; ip link set cdn-y up;"
                          "sysctl -qw net.ipv6.conf.cdn-x.accept_dad=0 net.ipv6.conf.cdn-x.addr_gen_mode=1;"
                          "ip link set cdn-x up"),
              0);
    FilterConfig config;
    config.pin_directory = pins_;
    config.sizes = {.principals = 1024,
                    .targets = 1024,
                    .grants = 4096,
                    .grant_ranges = 1024,
                    .flows = 4096,
                    .rule_counters = 1024,
                    .events_bytes = 1u << 20};
    auto filter = KernelFilter::open(config);
    ASSERT_TRUE(filter) << filter.error().message();
    filter_ = std::move(*filter);
    auto network = open_network();
    ASSERT_TRUE(network);
    network_ = std::move(*network);
    tunnel_ = std::make_unique<QuietTunnel>(steps_, ::if_nametoindex("cdn-x"));
    ASSERT_TRUE(filter_->attach_overlay(tunnel_->ifindex()));
    applier_ = std::make_unique<Applier>(*filter_, *tunnel_, *network_);
    state_ = test::base_state();
    const auto report = applier_->replace(state_, base(), false);
    ASSERT_TRUE(report) << report.error().message();
  }
  void TearDown() override {
    if (!filter_) return;
    EXPECT_TRUE(filter_->remove_all());
  }
  TimeBase base() const {
    return {.sent_boot_ns = system_clock().boot_ns(), .controller_time = system_clock().now()};
  }
  void change(const std::vector<policy::Change>& changes, bool raise_epoch) {
    const auto report = applier_->update(state_, changes, base(), raise_epoch);
    ASSERT_TRUE(report) << report.error().message();
    ASSERT_TRUE(report->verified);
    policy::apply(state_, changes);
    steps_.clear();
  }

  static Address v4(int i) { return Address::from_v4(0x64410000u + static_cast<std::uint32_t>(i)); }
  static Address v6(int i) { return test::address(fmt::format("fd12:3456:789a:1::{:x}", i + 1)); }

  std::vector<policy::Change> opened(int i) const {
    std::vector<policy::Change> out;
    policy::LocalSessionValue session = test::session(2000 + static_cast<std::uint32_t>(i % 1000));
    session.v4 = v4(i), session.v6 = v6(i);
    policy::PrincipalValue principal;
    principal.class_id = ClassId{1000u + static_cast<std::uint64_t>(i)};
    principal.uid = session.uid;
    const RuleId rule{100u + static_cast<std::uint32_t>(i)};
    out.push_back({policy::LocalSessionKey{SessionId{fmt::format("s-{}", i)}}, session});
    for (const Address& address : {v4(i), v6(i)}) out.push_back({policy::PrincipalKey{address}, principal});
    out.push_back({policy::RuleKey{rule}, policy::RuleValue{.name = fmt::format("rule-{}", i)}});
    for (const std::uint8_t port_bits : {16, 12})
      out.push_back({policy::GrantKey{.direction = policy::Direction::egress,
                                      .class_id = principal.class_id,
                                      .target = TargetId{3},
                                      .protocol = policy::kUdp,
                                      .port_bits = port_bits,
                                      .port = 4096},
                     policy::GrantValue{.rule = rule, .lease_s = 600}});
    return out;
  }
  static std::vector<policy::Change> closed(std::vector<policy::Change> opened) {
    for (policy::Change& change : opened) change.value.reset();
    return opened;
  }
  /// A granted packet makes a flow and a count; another is denied.
  void send(int i) const {
    for (const std::uint16_t port : {4096, 9}) {
      const auto packet = cordon::test::udp({v4(i), test::address("100.64.0.3"), 40000, port});
      LIBBPF_OPTS(bpf_test_run_opts, options);
      options.data_in = packet.data();
      options.data_size_in = static_cast<__u32>(packet.size());
      options.repeat = 1;
      ASSERT_EQ(bpf_prog_test_run_opts(filter_->objects().program("overlay_out"), &options), 0);
      ASSERT_EQ(static_cast<std::int32_t>(options.retval) == -1, port == 4096) << i;
    }
  }
  void run(int from, int to) {
    for (int i = from; i < to + kAtOnce; ++i) {
      if (i < to) {
        change(opened(i), false);
        ASSERT_TRUE(filter_->confirm(system_clock().boot_ns()));
        send(i);
      }
      if (i >= from + kAtOnce) change(closed(opened(i - kAtOnce)), true);
      if (HasFatalFailure()) return;
      if (i % 64 == 0) filter_->take_events([](const FlowEvent&) {});
    }
  }
  /// After what is silent was swept.
  Held held() {
    for (int i = 0; i < 3; ++i) {
      cordon_sweep times = kSweepTimes;
      times.now_ns = system_clock().boot_ns() + 86'400'000'000'000u * static_cast<unsigned>(i + 1);
      EXPECT_TRUE(sweep(filter_->objects().program("sweep"), times));
      for (int more = 0; more < 64; ++more) filter_->take_events([](const FlowEvent&) {});
    }
    EXPECT_TRUE(filter_->forget_gone_rules());
    Held out;
    for (const auto& entry : std::filesystem::directory_iterator(pins_))
      out.pins[entry.path().filename()] =
          entry.path().filename().string().starts_with("map-") ? entries_of(entry.path()) : 0;
    // The kernel's own multicast reports on the interface are denied now and then.
    for (auto& [pin, entries] : out.pins)
      if (pin.starts_with("map-overlay_limits")) entries = std::max<std::size_t>(entries, 4);
    out.network = output_of(
        "ip -br addr; ip rule; ip -6 rule; ip route show table all; ip -6 route show table all; "
        "ip -br link; ss -Hantuw");
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
      ++out.descriptors;
    return out;
  }

  static std::size_t heap() {
    const auto info = ::mallinfo2();
    return info.uordblks + info.hblkhd;  // what is large is no part of the first
  }

  const std::filesystem::path pins_ = "/sys/fs/bpf/cordon-leaks-" + std::to_string(::getpid());
  test::Steps steps_;
  std::unique_ptr<KernelFilter> filter_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<QuietTunnel> tunnel_;
  std::unique_ptr<Applier> applier_;
  policy::NodeState state_;
};

TEST_F(Leaks, TenThousandSessionsLeaveANodeAsItWas) {
  run(0, kWarmUp);  // what is made once and kept: buffers, caches
  const Held before = held();
  const auto heap_before = heap();
  run(kWarmUp, kSessions + kWarmUp);
  EXPECT_EQ(held(), before);
  const auto heap_after = heap();
  EXPECT_LT(heap_after, heap_before + 64 * 1024) << "the process's own memory, in bytes";
}

}  // namespace leaks_test
}  // namespace cordon::node
