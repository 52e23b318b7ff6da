#include "node/filter/replay_node.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/bpf.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <vector>

#include "ebpf/cordon.skel.h"
#include "node/filter/cpus.h"
#include "node/filter/descriptor.h"
#include "node/filter/events.h"
#include "node/filter/image.h"
#include "node/filter/kernel_map.h"
#include "node/filter/objects.h"
#include "node/filter/reasons.h"
#include "node/filter/settings.h"
#include "node/filter/subnets.h"

namespace cordon::node {
namespace {

constexpr int kAccept = -1;  // TCX_NEXT
/// A principal may own so many flows at a time (ebpf/budget.bpf.h); here none falls silent, so that account
/// is begun anew before it is full.
constexpr std::size_t kRunsPerBudget = 2048;
/// Grants run out this long after the start: never, as far as a replay is concerned.
constexpr BootNs kStandStillNs = 10ull * 365 * 24 * 3600 * 1'000'000'000;

/// Deadlines that are passed stay passed, the others never come; nobody's socket is asked for its owner.
void stop_time(policy::NodeState& state, Timestamp at) {
  for (auto& [key, value] : state.entries) {
    if (auto* principal = std::get_if<policy::PrincipalValue>(&value)) {
      principal->check_owner = false;
      for (Timestamp& deadline : principal->deadlines)
        if (deadline > at) deadline = kNever;
    }
  }
}

void set_replay_sizes(cordon_bpf& skeleton, const Image& image, std::size_t flows) {
  const auto set = [](bpf_map* map, std::size_t entries) {
    bpf_map__set_max_entries(map, static_cast<std::uint32_t>(std::max<std::size_t>(entries, 1)));
  };
  // An LRU map hands its entries out to the CPUs by the hundred and may drop old ones before it is full.
  const std::size_t spare = 512 * possible_cpus();
  set(skeleton.maps.principals, image[Table::principals].size());
  set(skeleton.maps.targets, image[Table::targets].size());
  set(skeleton.maps.grants, image[Table::grants].size());
  set(skeleton.maps.grant_ranges, image[Table::ranges].size());
  set(skeleton.maps.flows, flows + spare);
  set(skeleton.maps.flow_budgets, kRunsPerBudget + spare);
  set(skeleton.maps.rule_counters, 1);
  for (bpf_map* unused : {skeleton.maps.underlay_guards, skeleton.maps.underlay_allow}) set(unused, 1);
  set(skeleton.maps.underlay_flows, spare);
}

Result<> fill(const Image& image, const cordon_bpf& skeleton) {
  for (const Table table : {Table::grants, Table::ranges, Table::targets, Table::principals}) {
    if (image[table].empty()) continue;
    const KernelMap map{.fd = bpf_object__find_map_fd_by_name(skeleton.obj, map_name(table)),
                        .name = map_name(table),
                        .is_trie = table == Table::ranges || table == Table::targets};
    CORDON_TRY(map.write(image[table]));
  }
  return {};
}

}  // namespace

struct ReplayNode::Kernel {
  cordon_bpf* bpf = nullptr;
  std::optional<SettingsMap> settings;
  std::optional<EventRing> events;
  std::size_t runs = 0;
  RuleId last_rule;
  /// Counts of reasons and rules after the last run.
  std::vector<cordon_counter> drops;
  std::vector<cordon_rule_slot> rules;

  ~Kernel() { cordon_bpf__destroy(bpf); }

  template <class T>
  Result<> read(const bpf_map* map, std::uint32_t entries, std::vector<T>& values) const {
    values.resize(entries * possible_cpus());
    std::vector<std::uint32_t> keys(entries);
    std::uint32_t cursor = 0, count = entries;
    const int error =
        bpf_map_lookup_batch(bpf_map__fd(map), nullptr, &cursor, keys.data(), values.data(), &count, nullptr);
    if (error != 0 && errno != ENOENT)
      return fail_errno(fmt::format("can't read map '{}'", bpf_map__name(map)), errno);
    return {};
  }

  /// Reads one entry again: where in `values` it is no longer what it was after the run before.
  template <class T>
  std::optional<std::size_t> moved(const bpf_map* map, std::uint32_t entry, std::vector<T>& values) const {
    std::vector<T> now(possible_cpus());
    if (bpf_map_lookup_elem(bpf_map__fd(map), &entry, now.data()) != 0) return std::nullopt;
    std::optional<std::size_t> at;
    for (std::size_t cpu = 0; cpu < now.size(); ++cpu) {
      T& before = values[entry * possible_cpus() + cpu];
      if (std::memcmp(&now[cpu], &before, sizeof before) != 0) at = entry * possible_cpus() + cpu;
      before = now[cpu];
    }
    return at;
  }

  /// The reason that the last run counted; empty when none. What is accepted can only have been observed.
  Result<std::string_view> counted_reason(bool accepted) {
    if (accepted)
      return moved(bpf->maps.drop_counters, CORDON_REASON_observed, drops)
                 ? reason_name(CORDON_REASON_observed)
                 : std::string_view();
    std::vector<cordon_counter> now;
    CORDON_TRY(read(bpf->maps.drop_counters, CORDON_REASON_COUNT, now));
    std::string_view found;
    for (std::size_t i = 0; i < now.size(); ++i)
      if (now[i].packets != drops[i].packets)
        found = reason_name(static_cast<std::uint32_t>(i / possible_cpus()));
    drops = std::move(now);
    return found;
  }

  /// The rule that the last run counted.
  Result<RuleId> counted_rule() {
    // Most packets are of the flow that the one before was of.
    if (const auto at = moved(bpf->maps.rule_cache, last_rule.value % CORDON_RULE_SLOTS, rules))
      return last_rule = RuleId(rules[*at].rule);
    std::vector<cordon_rule_slot> now;
    CORDON_TRY(read(bpf->maps.rule_cache, CORDON_RULE_SLOTS, now));
    for (std::size_t i = 0; i < now.size(); ++i)
      if (now[i].rule != rules[i].rule || now[i].packets != rules[i].packets) last_rule = RuleId(now[i].rule);
    rules = std::move(now);
    return last_rule;
  }

  template <class Key>
  static void empty(const bpf_map* map) {
    const int fd = bpf_map__fd(map);
    for (Key key{}; bpf_map_get_next_key(fd, nullptr, &key) == 0;)
      if (bpf_map_delete_elem(fd, &key) != 0) break;
  }

  /// What the programs keep per second and per minute, where no time passes.
  void begin_account(const Address& source) {
    // A forbid's name is in its event alone, so this source's must not be held back, by itself or by all.
    const std::uint32_t denied = CORDON_BUCKET_DENIED;
    const std::vector<cordon_bucket> full(possible_cpus(),
                                          {.refilled_ns = system_clock().boot_ns(), .left = 1});
    bpf_map_update_elem(bpf_map__fd(bpf->maps.event_buckets), &denied, full.data(), BPF_ANY);
    cordon_limit_key limit{};
    limit.source = to_abi(source);
    limit.reason = CORDON_REASON_forbidden;
    bpf_map_delete_elem(bpf_map__fd(bpf->maps.overlay_limits), &limit);
    if (++runs % kRunsPerBudget != 0) return;
    empty<cordon_address>(bpf->maps.flow_budgets);
    empty<cordon_limit_key>(bpf->maps.overlay_limits);
  }

  RuleId forbidding_rule() {
    RuleId rule;
    events->take([&](const FlowEvent& event) {
      if (event.kind == FlowEvent::Kind::denied && event.reason == reason_name(CORDON_REASON_forbidden))
        rule = event.rule;
    });
    return rule;
  }
};

ReplayNode::ReplayNode(std::unique_ptr<Kernel> kernel) : kernel_(std::move(kernel)) {}
ReplayNode::~ReplayNode() = default;

Result<> ReplayNode::check_privileges() {
  if (const auto missing = missing_filter_capabilities(); !missing.empty())
    return fail(ErrorCode::forbidden,
                fmt::format("running packets through the kernel needs {}", fmt::join(missing, ", ")),
                "run it as root: sudo cordon policy replay ...");
  return {};
}

Result<std::unique_ptr<ReplayNode>> ReplayNode::load(policy::NodeState state, Timestamp at,
                                                     std::size_t flows) {
  stop_time(state, at);
  const BootNs start = system_clock().boot_ns();
  const Image image = make_image(state, {.sent_boot_ns = start, .controller_time = at}, {});
  libbpf_set_print(nullptr);  // errors are ours to tell
  auto kernel = std::make_unique<Kernel>();
  kernel->bpf = cordon_bpf__open();
  if (kernel->bpf == nullptr) return fail_errno("can't read the embedded BPF object", errno);
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, kernel->bpf->obj) {
    const bool needed = program == kernel->bpf->progs.overlay_in || program == kernel->bpf->progs.overlay_out;
    bpf_program__set_autoload(program, needed);
  }
  set_replay_sizes(*kernel->bpf, image, flows);
  if (const int error = cordon_bpf__load(kernel->bpf); error != 0)
    return fail_errno("can't load the filter", -error);
  CORDON_TRY(fill(image, *kernel->bpf));
  CORDON_ASSIGN(SettingsMap settings, SettingsMap::map(bpf_map__fd(kernel->bpf->maps.settings)));
  // It stands before whatever the policy says is behind a gateway.
  CORDON_TRY(write_subnets(bpf_map__fd(kernel->bpf->maps.subnets),
                           {.behind = {Prefix{.bits = 0}}, .own = {}, .routed = {}}));
  const HostImage host = make_host(state, 0, 0);
  const __u32 zero = 0;
  if (bpf_map_update_elem(bpf_map__fd(kernel->bpf->maps.host), &zero, &host.host, BPF_ANY) != 0)
    return fail_errno("can't write map 'host'", errno);
  settings.set_node_lease_ns(kStandStillNs);
  settings.confirm(start + kStandStillNs);
  settings.set_flags(host.flags);
  kernel->settings.emplace(std::move(settings));
  CORDON_ASSIGN(EventRing events, EventRing::open(bpf_map__fd(kernel->bpf->maps.events)));
  kernel->events.emplace(std::move(events));
  CORDON_TRY(kernel->read(kernel->bpf->maps.drop_counters, CORDON_REASON_COUNT, kernel->drops));
  CORDON_TRY(kernel->read(kernel->bpf->maps.rule_cache, CORDON_RULE_SLOTS, kernel->rules));
  return std::unique_ptr<ReplayNode>(new ReplayNode(std::move(kernel)));
}

Result<ReplayNode::Verdict> ReplayNode::run(policy::Direction direction, std::span<const std::uint8_t> packet,
                                            const Address& source) {
  kernel_->begin_account(source);
  const bool out = direction == policy::Direction::egress;
  const bpf_program* program = out ? kernel_->bpf->progs.overlay_out : kernel_->bpf->progs.overlay_in;
  bpf_test_run_opts options{};
  options.sz = sizeof options;
  options.data_in = packet.data();
  options.data_size_in = static_cast<__u32>(packet.size());
  options.repeat = 1;
  if (bpf_prog_test_run_opts(bpf_program__fd(program), &options) != 0)
    return fail_errno("the kernel can't run the packet", errno);
  Verdict verdict{.accept = static_cast<std::int32_t>(options.retval) == kAccept, .rule = {}, .reason = {}};
  CORDON_ASSIGN(verdict.reason, kernel_->counted_reason(verdict.accept));
  const RuleId forbade = kernel_->forbidding_rule();  // takes the events of the others away
  if (!verdict.accept) {
    verdict.rule = forbade;
  } else if (verdict.reason.empty()) {
    CORDON_ASSIGN(verdict.rule, kernel_->counted_rule());
  }
  return verdict;
}

}  // namespace cordon::node
