#pragma once
// The Filter on a real kernel. Callers use filter.h; tests and benchmarks also reach the programs.

#include <memory>
#include <mutex>
#include <optional>

#include "node/filter/attachments.h"
#include "node/filter/events.h"
#include "node/filter/filter.h"
#include "node/filter/kernel_map.h"
#include "node/filter/objects.h"
#include "node/filter/plan.h"
#include "node/filter/run_plan.h"
#include "node/filter/settings.h"

namespace cordon::node {

/// By Table.
using TableSums = std::array<RowSum, kTables>;

class KernelFilter final : public Filter {
 public:
  static Result<std::unique_ptr<KernelFilter>> open(const FilterConfig& config,
                                                    const LoadOptions& options = {});

  Result<> attach_overlay(unsigned ifindex) override;
  Result<> attach_underlay(const std::vector<unsigned>& ifindexes) override;
  Result<ApplyReport> replace(const policy::NodeState& wanted, const TimeBase& base) override;
  Result<ApplyReport> update(const policy::NodeState& before, const std::vector<policy::Change>& changes,
                             const TimeBase& base, bool raise_epoch) override;
  Result<> confirm(BootNs confirmed) override;
  Result<> set_peers(const std::vector<Endpoint>& endpoints) override;
  Result<> set_controllers(const std::vector<Endpoint>& controllers) override;
  Result<> set_subnets(const Subnets& subnets) override;
  Result<> set_networks(const std::vector<Prefix>& networks) override;
  bool meets_overlay() const override {
    const Use use(in_use_);
    return (host_.flags & CORDON_HOST_MEETS) != 0;
  }
  Result<> set_people(const std::vector<UidRange>& people, const policy::NodeState& held) override;
  bool contained() const override { return underlay_mode() == CORDON_UNDERLAY_CONTAINED; }
  bool adopted() const override { return adopted_; }
  int events_fd() const override { return events_.fd(); }
  void take_events(const std::function<void(const FlowEvent&)>& sink) override { events_.take(sink); }
  std::uint64_t events_lost() const override;
  Result<std::map<std::string, Counter>> drop_counters() const override;
  Result<std::map<RuleId, Counter>> rule_counters() const override;
  Result<std::map<Address, BootNs>> last_packets(const std::set<Address>& of) const override;
  std::vector<std::string> check() override;
  Result<> remove_all() override;

  /// Part of `check`: what a CPU's cache had of a rule that is gone came to rule_counters when another rule
  /// took its slot.
  Result<> forget_gone_rules();

  const Objects& objects() const { return *objects_; }
  cordon_settings settings() const { return settings_.read(); }

 private:
  class Writer;
  KernelFilter(FilterConfig config, std::unique_ptr<Objects> objects, SettingsMap settings, EventRing events,
               bool tcx);

  KernelMap map(Table table) const;
  std::array<std::size_t, kTables> capacity() const;
  Result<Image> read_all() const;
  /// Makes of rows as they are held those that hold; what somebody left who was killed while he wrote is
  /// taken out of the maps first.
  Result<> settle_all(Image& held);
  /// Runs the plan, which turns settings and host too, then raises the epoch when asked; on failure only what
  /// takes access away is done. `sums`: of all that the tables are to say, when that is known.
  Result<ApplyReport> apply(const Plan& plan, const HostImage& host, bool raise_epoch,
                            const TableSums* sums = nullptr);
  Result<> read_host();
  Result<> write_host(const cordon_host& host);
  __u8 underlay_mode() const {
    const Use use(in_use_);
    return host_.underlay_mode;
  }
  /// As map `host` asks for it. A failure is no reason to refuse a state: `check` tells it and tries again.
  void guard_sockets();
  /// What is narrower of the settings and host of a state that can't be written as a whole; `mode`: what held
  /// before of the underlay.
  void tighten(const HostImage& host, __u8 mode);
  /// Does the kernel hold what the plan wrote? A table of many rows is read whole, where its sum is known.
  Result<bool> verify(const Plan& plan, Written written, std::uint64_t generation,
                      const TableSums* sums) const;
  /// Makes one table, which is small, hold these rows.
  Result<> rewrite(Table table, Image want);
  void forget_rules(const std::vector<RuleId>& rules);
  Result<std::map<RuleId, Counter>> cached_rules() const;
  /// Packets whose rule map `rule_counters` had no room for.
  std::uint64_t counts_lost() const;
  Result<> sweep_when_due();

  /// What another thread that writes a whole state shares with the others: what is attached, map `host`, and
  /// which rules are gone. Each holds it for a moment only.
  using Use = std::lock_guard<std::recursive_mutex>;
  mutable std::recursive_mutex in_use_;

  FilterConfig config_;
  std::unique_ptr<Objects> objects_;
  std::unique_ptr<Objects> other_;  ///< a second instance: one of the two is put first where the other is
  SettingsMap settings_;
  EventRing events_;
  Attachments attachments_;
  std::uint64_t netns_cookie_ = 0;
  cordon_host host_{};  ///< as map `host` holds it
  bool adopted_ = false;
  BootNs swept_ns_ = 0;
  std::uint32_t untold_ = 0;     ///< counts of denials that waited for room in the ring
  std::set<RuleId> gone_rules_;  ///< whose counts may still come
  std::uint64_t lost_in_sweeps_ = 0;
  std::uint64_t counts_lost_ = 0;                ///< as told last
  std::optional<std::vector<Prefix>> networks_;  ///< once they were told
};

}  // namespace cordon::node
