#include "tests/bpf/fixture.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <array>
#include <ostream>

namespace cordon::test {

void PrintTo(const Verdict& verdict, std::ostream* out) {
  *out << (verdict.accept ? "accept" : "drop") << " reason '" << verdict.reason << "' rule "
       << verdict.rule.value;
}

std::set<std::string>& met_reasons() {
  static std::set<std::string> met;
  return met;
}

FilterTest::FilterTest(const std::vector<std::string_view>& programs) {
  static int counter = 0;
  pins_ = "/sys/fs/bpf/cordon-test-" + std::to_string(::getpid()) + "-" + std::to_string(counter++);
  auto filter = node::KernelFilter::open(config_at(pins_), {.only = programs});
  if (!filter) {
    ADD_FAILURE() << filter.error().message();
    throw std::runtime_error("no filter, no test");
  }
  filter_ = std::move(*filter);
  // A gateway for whatever is outside the overlay.
  EXPECT_TRUE(filter_->set_subnets({.behind = {Prefix{.bits = 0}}, .own = {}, .routed = {}}));
  auto& own = settings();
  own.device = DeviceId("server");
  own.overlay_v4 = Prefix::parse("100.64.0.0/10").value();
  own.overlay_v6 = Prefix::parse("fd00:c0de::/48").value();
}

FilterTest::~FilterTest() {
  if (!filter_) return;
  EXPECT_TRUE(filter_->remove_all());
}

node::FilterConfig FilterTest::config_at(const std::filesystem::path& pins) {
  node::FilterConfig config;
  config.pin_directory = pins;
  config.sizes = {.principals = 1024,
                  .targets = 1024,
                  .grants = 4096,
                  .grant_ranges = 1024,
                  .flows = 8192,
                  .rule_counters = 256,
                  .events_bytes = 1u << 16};
  config.wireguard_port = 51820;
  config.underlay_allow = {Prefix::parse("192.0.2.0/24").value()};
  config.controllers = {Endpoint::parse("198.51.100.1:7443").value()};
  return config;
}

Verdict FilterTest::run(const char* program, const Packet& packet, unsigned ingress_ifindex,
                        unsigned gso_size) {
  const auto drops_before = filter_->drop_counters().value();
  const auto rules_before = filter_->rule_counters().value();
  __sk_buff context{};
  context.ingress_ifindex = ingress_ifindex;
  context.gso_size = gso_size;
  const bool accepted = accepts(program, packet, context);

  Verdict verdict{.accept = accepted, .reason = "", .rule = {}};
  const auto drops_after = filter_->drop_counters().value();
  for (const auto& [reason, counter] : drops_after) {
    const auto before = drops_before.at(reason);
    if (counter.packets == before.packets) continue;
    EXPECT_EQ(counter.packets, before.packets + 1) << reason;
    EXPECT_EQ(counter.bytes, before.bytes + packet.size()) << reason;
    EXPECT_EQ(verdict.reason, "") << "and " << reason;
    verdict.reason = reason;
    met_reasons().insert(reason);
  }
  const auto rules_after = filter_->rule_counters().value();
  for (const auto& [rule, counter] : rules_after) {
    const auto it = rules_before.find(rule);
    const node::Counter before = it == rules_before.end() ? node::Counter{} : it->second;
    if (counter.packets == before.packets) continue;
    EXPECT_EQ(counter.packets, before.packets + 1);
    EXPECT_EQ(counter.bytes, before.bytes + packet.size());
    verdict.rule = rule;
  }
  return verdict;
}

bool FilterTest::accepts(const char* program, const Packet& packet, __sk_buff context) {
  LIBBPF_OPTS(bpf_test_run_opts, options);
  options.data_in = packet.data();
  options.data_size_in = static_cast<__u32>(packet.size());
  options.ctx_in = &context;
  options.ctx_size_in = sizeof context;
  options.repeat = 1;
  EXPECT_EQ(bpf_prog_test_run_opts(filter_->objects().program(program), &options), 0) << program;
  const auto result = static_cast<std::int32_t>(options.retval);
  EXPECT_TRUE(result == -1 || result == 2) << result;
  return result == -1;
}

cordon_sweep FilterTest::sweep(std::chrono::seconds later) {
  cordon_sweep times = node::kSweepTimes;
  times.now_ns =
      system_clock().boot_ns() + static_cast<std::uint64_t>(std::chrono::nanoseconds(later).count());
  const auto done = node::sweep(filter_->objects().program("sweep"), times);
  EXPECT_TRUE(done) << done.error().message();
  return done.value_or(cordon_sweep{});
}

cordon_sweep FilterTest::tell_denials() {
  const auto done = node::tell_denials(filter_->objects().program("sweep"), node::kSweepTimes);
  EXPECT_TRUE(done) << done.error().message();
  return done.value_or(cordon_sweep{});
}

std::size_t FilterTest::flow_entries() const {
  const int fd = filter_->objects().map("flows");
  cordon_flow_key key{}, next{};
  std::size_t count = 0;
  for (int error = bpf_map_get_next_key(fd, nullptr, &next); error == 0;
       error = bpf_map_get_next_key(fd, &key, &next)) {
    key = next;
    ++count;
  }
  return count;
}

cordon_budget FilterTest::budget(const Address& owner) const {
  cordon_budget out{};
  const cordon_address key = node::to_abi(owner);
  (void)bpf_map_lookup_elem(filter_->objects().map("flow_budgets"), &key, &out);
  return out;
}

TimeBase FilterTest::base() const {
  return {.sent_boot_ns = system_clock().boot_ns(), .controller_time = kNow};
}

node::ApplyReport FilterTest::write() {
  auto report = filter_->replace(state_, base());
  EXPECT_TRUE(report) << report.error().message();
  EXPECT_TRUE(filter_->confirm(system_clock().boot_ns()));
  written_ = state_;
  return report.value_or(node::ApplyReport{});
}

node::ApplyReport FilterTest::update(bool raise_epoch) {
  auto report = filter_->update(written_, policy::difference(written_, state_), base(), raise_epoch);
  EXPECT_TRUE(report) << report.error().message();
  written_ = state_;
  return report.value_or(node::ApplyReport{});
}

std::vector<node::FlowEvent> FilterTest::events() {
  std::vector<node::FlowEvent> out;
  filter_->take_events([&](const node::FlowEvent& event) { out.push_back(event); });
  return out;
}

void FilterTest::forget(const char* map) {
  const int fd = filter_->objects().map(map);
  std::array<std::uint8_t, 64> key{};  // of any of them
  while (bpf_map_get_next_key(fd, nullptr, key.data()) == 0) bpf_map_delete_elem(fd, key.data());
}

void FilterTest::add_principal(std::string_view text, std::uint64_t class_id,
                               std::array<Timestamp, policy::kDeadlineSlots> deadlines) {
  policy::PrincipalValue value;
  value.class_id = ClassId(class_id);
  value.deadlines = deadlines;
  state_.entries[policy::PrincipalKey{address(text)}] = value;
}

void FilterTest::add_target(std::string_view text, std::uint32_t id, bool observe) {
  state_.entries[policy::TargetKey{Prefix::host(address(text))}] =
      policy::TargetValue{.id = TargetId(id), .observe = observe};
}

void FilterTest::add_grant(const GrantSpec& spec) {
  const policy::GrantKey key{.direction = spec.direction,
                             .class_id = ClassId(spec.class_id),
                             .target = TargetId(spec.target),
                             .protocol = spec.protocol,
                             .port_bits = spec.port_bits,
                             .port = spec.port};
  state_.entries[key] = policy::GrantValue{.rule = RuleId(spec.rule),
                                           .deny = spec.deny,
                                           .responder = spec.responder,
                                           .slot = spec.slot,
                                           .lease_s = spec.deny ? 0 : spec.lease_s};
  state_.entries[policy::RuleKey{RuleId(spec.rule)}] = policy::RuleValue{.name = "rule"};
}

policy::SettingsValue& FilterTest::settings() {
  return std::get<policy::SettingsValue>(
      state_.entries.try_emplace(policy::SettingsKey{}, policy::SettingsValue{}).first->second);
}

policy::PrincipalValue& FilterTest::principal(std::string_view text) {
  return std::get<policy::PrincipalValue>(state_.entries.at(policy::PrincipalKey{address(text)}));
}

FamilyTest::FamilyTest(const std::vector<std::string_view>& programs) : FilterTest(programs) {
  const Hosts& hosts = GetParam();
  add_principal(hosts.client, 1);
  add_principal(hosts.other, 2);
  add_principal(hosts.server, 3);
  add_target(hosts.server, 1);
  add_grant({.port = 5432, .rule = 1});
  add_grant({.protocol = policy::kUdp, .port = 53, .rule = 2});
  add_grant({.protocol = policy::kIcmp, .port = 8, .rule = 3});
  add_grant({.protocol = policy::kIcmpv6, .port = 128, .rule = 3});
}

Flow FamilyTest::to_server(std::uint16_t port, std::uint16_t from) const {
  return {client(), server(), from, port};
}

}  // namespace cordon::test
