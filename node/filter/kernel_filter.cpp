#include "node/filter/kernel_filter.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"
#include "node/filter/ends.h"
#include "node/filter/parallel.h"
#include "node/filter/people.h"
#include "node/filter/run_plan.h"
#include "node/filter/sides.h"
#include "node/filter/subnets.h"

namespace cordon::node {
namespace {

std::uint64_t own_netns_cookie() {
  constexpr int kSoNetnsCookie = 71;  // SO_NETNS_COOKIE, Linux 5.14
  const Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (!socket || ::getsockopt(socket.get(), SOL_SOCKET, kSoNetnsCookie, &cookie, &size) != 0) return 0;
  return cookie;
}

/// Without the generation.
std::uint32_t flags_of(const cordon_settings& settings) {
  return static_cast<std::uint32_t>(settings.flags & ((1u << CORDON_SETTINGS_FLAG_BITS) - 1));
}

TableSums sums_of(const Image& image) {
  TableSums sums;
  for (std::size_t i = 0; i < kTables; ++i) sums[i] = RowSum(image.tables[i]);
  return sums;
}

ImageConfig image_config(const FilterConfig& config) {
  return {.underlay_allow = config.underlay_allow, .people = config.people};
}

}  // namespace

KernelFilter::KernelFilter(FilterConfig config, std::unique_ptr<Objects> objects, SettingsMap settings,
                           EventRing events, bool tcx)
    : config_(std::move(config)),
      objects_(std::move(objects)),
      settings_(std::move(settings)),
      events_(std::move(events)),
      attachments_(config_.pin_directory, config_.cgroup, tcx),
      netns_cookie_(own_netns_cookie()) {}

Result<std::unique_ptr<KernelFilter>> KernelFilter::open(const FilterConfig& config,
                                                         const LoadOptions& options) {
  if (const auto missing = missing_filter_capabilities(); !missing.empty())
    return fail(ErrorCode::forbidden, fmt::format("the filter needs {}", fmt::join(missing, ", ")),
                "start cordon-node with these capabilities");
  std::error_code error;
  std::filesystem::create_directories(config.pin_directory, error);
  if (error)
    return fail_errno(
        fmt::format("can't make '{}'", config.pin_directory.string()), error.value(),
        "a bpf file system must be mounted on /sys/fs/bpf, and the directory belong to the daemon's user");
  CORDON_ASSIGN(auto objects, Objects::load(config.pin_directory, config.sizes, options));
  CORDON_ASSIGN(auto settings, SettingsMap::map(objects->map("settings")));
  CORDON_ASSIGN(auto events, EventRing::open(objects->map("events")));
  std::unique_ptr<KernelFilter> filter(
      new KernelFilter(config, std::move(objects), std::move(settings), std::move(events), options.tcx));
  filter->adopted_ = (filter->settings_.read().flags & CORDON_SETTINGS_READY) != 0;
  CORDON_TRY(filter->attachments_.take_over(*filter->objects_, options.after_step));
  CORDON_TRY(filter->objects_->finish(options));
  filter->counts_lost_ = filter->counts_lost();
  CORDON_TRY(filter->read_host());
  CORDON_TRY(write_ends(filter->objects_->map("underlay_ends"), policy::kTcp, config.controllers));
  CORDON_TRY(filter->attachments_.connect_hook(*filter->objects_));
  return filter;
}

Result<std::unique_ptr<Filter>> open_filter(const FilterConfig& config) {
  return KernelFilter::open(config);
}

Result<> KernelFilter::attach_overlay(unsigned ifindex) {
  const Use use(in_use_);
  CORDON_TRY(attachments_.overlay(*objects_, ifindex));
  host_.overlay_ifindex = ifindex;
  return write_host(host_);
}

Result<> KernelFilter::attach_underlay(const std::vector<unsigned>& ifindexes) {
  const Use use(in_use_);
  CORDON_TRY(attachments_.underlay(*objects_, ifindexes));
  guard_sockets();
  return {};
}

void KernelFilter::guard_sockets() {
  const Use use(in_use_);
  const bool wanted = contained() || (config_.guard_sockets && guards_anything(host_));
  if (auto guarded = attachments_.sockets(*objects_, wanted); !guarded)
    log::error("node.filter", "{}", guarded.error().message());
}

Result<> KernelFilter::confirm(BootNs confirmed) {
  settings_.confirm(confirmed);
  return {};
}

/// The kernel's maps as a plan writes them; the settings and host that the state has that it turns to, if
/// any.
class KernelFilter::Writer final : public TableWriter {
 public:
  explicit Writer(KernelFilter& filter, const HostImage* host = nullptr, bool epoch_due = false)
      : filter_(filter), host_(host), epoch_due_(epoch_due) {}
  Result<> write(Table table, const Rows& rows) override { return filter_.map(table).write(rows); }
  Result<> remove(Table table, const Rows& rows) override { return filter_.map(table).remove(rows); }
  Result<> turn() override {
    if (host_ == nullptr) return {};
    CORDON_TRY(filter_.write_host(host_->host));
    filter_.guard_sockets();
    filter_.settings_.turn(host_->flags | (epoch_due_ ? CORDON_SETTINGS_EPOCH_DUE : 0), host_->node_lease_ns);
    return {};
  }
  void raise_epoch() override { filter_.settings_.raise_epoch(); }

 private:
  KernelFilter& filter_;
  const HostImage* host_;
  bool epoch_due_;
};

Result<ApplyReport> KernelFilter::replace(const policy::NodeState& wanted, const TimeBase& base) {
  Result<Image> read;
  Beside reading;
  reading.run([&] { read = read_all(); });
  Image want = make_image(wanted, base, image_config(config_));
  const auto fits = check_capacity(want, capacity());
  const TableSums sums = sums_of(want);
  reading.wait();
  CORDON_ASSIGN(Image have, std::move(read));
  const auto settled = settle_all(have);
  const Plan plan = make_plan(std::move(have), std::move(want));
  const HostImage host = make_host(wanted, config_.wireguard_port, netns_cookie_);
  if (!fits || !settled) {
    Writer writer(*this);
    if (auto done = run_cut(plan, writer); !done)
      log::error("node.filter", "cutting: {}", done.error().message());
    tighten(host, underlay_mode());
    return std::unexpected(!fits ? fits.error() : settled.error());
  }
  const cordon_settings before = settings_.read();
  const bool narrower = before.node_lease_ns > host.node_lease_ns || (host.flags & ~flags_of(before)) != 0;
  // One that was killed after it turned owes the epoch to flows of the state before.
  const bool owed = (before.flags & CORDON_SETTINGS_EPOCH_DUE) != 0;
  CORDON_ASSIGN(ApplyReport report, apply(plan, host, plan.takes_away || narrower || owed, &sums));

  CORDON_ASSIGN(const auto counted, rule_counters());
  std::vector<RuleId> gone;
  for (const auto& [rule, counter] : counted)
    if (!wanted.entries.contains(policy::RuleKey{rule})) gone.push_back(rule);
  const Use use(in_use_);
  std::erase_if(gone_rules_, [&](RuleId rule) { return wanted.entries.contains(policy::RuleKey{rule}); });
  forget_rules(gone);
  return report;
}

namespace {

/// What of a state host, people and guards are made from; it stands at the ends of the order of keys and is
/// small.
policy::NodeState small_part(const policy::NodeState& state) {
  policy::NodeState out;
  if (auto it = state.entries.find(policy::SettingsKey{}); it != state.entries.end()) out.entries.insert(*it);
  for (auto it = state.entries.lower_bound(policy::GuardKey{.protocol = 0, .ports = {0, 0}});
       it != state.entries.end(); ++it)
    out.entries.insert(*it);
  return out;
}

bool is_small(const policy::Key& key) {
  return std::holds_alternative<policy::SettingsKey>(key) || std::holds_alternative<policy::GuardKey>(key) ||
         std::holds_alternative<policy::LocalSessionKey>(key);
}

}  // namespace

Result<ApplyReport> KernelFilter::update(const policy::NodeState& before,
                                         const std::vector<policy::Change>& changes, const TimeBase& base,
                                         bool raise_epoch) {
  Image have = empty_image(), want = empty_image();
  std::vector<policy::Change> small_changes;
  std::vector<RuleId> gone;
  for (const policy::Change& change : changes) {
    const auto old = before.entries.find(change.key);
    const policy::Value* old_value = old == before.entries.end() ? nullptr : &old->second;
    if (old_value != nullptr) add_entry(have, change.key, *old_value, base);
    if (change.value) add_entry(want, change.key, *change.value, base);
    if (policy::takes_away(old_value, change) || policy::narrows(before, change)) raise_epoch = true;
    if (is_small(change.key)) small_changes.push_back(change);
    if (const auto* rule = std::get_if<policy::RuleKey>(&change.key); rule != nullptr) {
      gone_rules_.erase(rule->rule);
      if (!change.value) gone.push_back(rule->rule);
    }
  }
  policy::NodeState small = small_part(before);
  add_guards(have, small);
  add_people(have, small, config_.people);
  policy::apply(small, small_changes);
  add_guards(want, small);
  add_people(want, small, config_.people);
  make_unique(have);
  make_unique(want);
  CORDON_ASSIGN(ApplyReport report,
                apply(make_plan(std::move(have), std::move(want)),
                      make_host(small, config_.wireguard_port, netns_cookie_), raise_epoch));
  forget_rules(gone);
  return report;
}

KernelMap KernelFilter::map(Table table) const {
  const bool trie = table != Table::grants && table != Table::principals;
  return {.fd = objects_->map(map_name(table)), .name = map_name(table), .is_trie = trie};
}

std::array<std::size_t, kTables> KernelFilter::capacity() const {
  std::array<std::size_t, kTables> out{};
  for (std::size_t i = 0; i < kTables; ++i) {
    bpf_map_info info{};
    __u32 size = sizeof info;
    if (bpf_obj_get_info_by_fd(map(static_cast<Table>(i)).fd, &info, &size) == 0) out[i] = info.max_entries;
  }
  return out;
}

Result<Image> KernelFilter::read_all() const {
  Image image = empty_image();
  for (std::size_t i = 0; i < kTables; ++i) {
    CORDON_ASSIGN(image.tables[i], map(static_cast<Table>(i)).read(image.tables[i]));
  }
  return image;
}

Result<> KernelFilter::settle_all(Image& held) {
  constexpr std::array kSided{Table::targets, Table::principals};
  std::array<SettledRows, kSided.size()> settled;
  for (std::size_t i = 0; i < kSided.size(); ++i) {
    settled[i] = settle(kSided[i], held[kSided[i]], settings_.generation());
    held[kSided[i]] = std::move(settled[i].rows);
  }
  for (std::size_t i = 0; i < kSided.size(); ++i) {
    CORDON_TRY(map(kSided[i]).write(settled[i].unmade));
    CORDON_TRY(map(kSided[i]).remove(settled[i].absent));
  }
  return {};
}

Result<> KernelFilter::read_host() {
  const __u32 zero = 0;
  if (bpf_map_lookup_elem(objects_->map("host"), &zero, &host_) != 0)
    return fail_errno("can't read map 'host'", errno);
  return {};
}

Result<> KernelFilter::write_host(const cordon_host& host) {
  const Use use(in_use_);
  const __u32 zero = 0;
  const cordon_host held = host_;
  host_ = host;
  host_.overlay_ifindex = held.overlay_ifindex;
  host_.flags = held.flags;
  if (networks_) host_.flags = meets_any(host, *networks_, config_.controllers) ? CORDON_HOST_MEETS : __u8{0};
  if (bpf_map_update_elem(objects_->map("host"), &zero, &host_, BPF_ANY) != 0)
    return fail_errno("can't write map 'host'", errno);
  return {};
}

Result<> KernelFilter::set_peers(const std::vector<Endpoint>& endpoints) {
  return write_ends(objects_->map("underlay_ends"), policy::kUdp, endpoints);
}

Result<> KernelFilter::set_controllers(const std::vector<Endpoint>& controllers) {
  config_.controllers = controllers;
  CORDON_TRY(write_ends(objects_->map("underlay_ends"), policy::kTcp, controllers));
  return write_host(host_);
}

Result<> KernelFilter::set_networks(const std::vector<Prefix>& networks) {
  const Use use(in_use_);
  if (networks_ == networks) return {};
  networks_ = networks;
  return write_host(host_);
}

Result<> KernelFilter::set_subnets(const Subnets& subnets) {
  const Use use(in_use_);
  const auto takes_away = write_subnets(objects_->map("subnets"), subnets);
  if (!takes_away || *takes_away) settings_.raise_epoch();
  return takes_away ? Result<>{} : Result<>(std::unexpected(takes_away.error()));
}

Result<> KernelFilter::set_people(const std::vector<UidRange>& people, const policy::NodeState& held) {
  config_.people = people;
  Image want = empty_image();
  add_people(want, small_part(held), people);
  return rewrite(Table::people, std::move(want));
}

Result<> KernelFilter::rewrite(Table table, Image want) {
  make_unique(want);
  Image have = empty_image();
  CORDON_ASSIGN(have[table], map(table).read(have[table]));
  const Plan plan = make_plan(std::move(have), std::move(want));
  Writer writer(*this);
  CORDON_TRY(run_plan(plan, settings_.generation() + 1, writer));
  return {};
}

void KernelFilter::tighten(const HostImage& host, __u8 mode) {
  const cordon_settings held = settings_.read();
  settings_.set_node_lease_ns(std::min<std::uint64_t>(held.node_lease_ns, host.node_lease_ns));
  settings_.set_flags(flags_of(held) | (host.flags & ~CORDON_SETTINGS_READY));
  cordon_host stricter = host.host;
  stricter.underlay_mode = stricter_of(mode, stricter.underlay_mode);
  if (auto written = write_host(stricter); !written)
    log::error("node.filter", "{}", written.error().message());
  guard_sockets();
  settings_.raise_epoch();
}

Result<ApplyReport> KernelFilter::apply(const Plan& plan, const HostImage& host, bool raise_epoch,
                                        const TableSums* sums) {
  Writer writer(*this, &host, raise_epoch);
  const std::uint64_t generation = settings_.generation() + 1;
  const __u8 mode = underlay_mode();
  const auto written = run_plan(plan, generation, writer);
  if (!written) {
    tighten(host, mode);
    return std::unexpected(written.error());
  }
  if (raise_epoch) {
    settings_.raise_epoch();
    settings_.set_flags(host.flags);
  }
  CORDON_ASSIGN(const bool verified, verify(plan, *written, generation, sums));
  return ApplyReport{
      .written = plan.written, .removed = plan.removed, .epoch_raised = raise_epoch, .verified = verified};
}

}  // namespace cordon::node
