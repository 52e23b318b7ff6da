// What the kernel counted, added up over its CPUs.

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <cerrno>
#include <numeric>

#include "node/filter/cpus.h"
#include "node/filter/kernel_filter.h"
#include "node/filter/reasons.h"

namespace cordon::node {
namespace {

template <class T>
bool read_per_cpu(int fd, std::uint32_t key, std::vector<T>& values) {
  static_assert(sizeof(T) % 8 == 0);  // per-CPU values are handed out in steps of 8 bytes
  values.assign(possible_cpus(), T{});
  return bpf_map_lookup_elem(fd, &key, values.data()) == 0;
}

Counter sum(const std::vector<cordon_counter>& values) {
  Counter out;
  for (const cordon_counter& v : values) out.packets += v.packets, out.bytes += v.bytes;
  return out;
}

}  // namespace

std::uint64_t KernelFilter::events_lost() const {
  std::vector<std::uint64_t> values;
  std::uint64_t total = lost_in_sweeps_;
  if (read_per_cpu(objects_->map("event_totals"), CORDON_EVENTS_LOST, values))
    for (std::uint64_t v : values) total += v;
  return total;
}

std::uint64_t KernelFilter::counts_lost() const {
  std::vector<std::uint64_t> values;
  if (!read_per_cpu(objects_->map("event_totals"), CORDON_COUNTS_LOST, values)) return 0;
  return std::accumulate(values.begin(), values.end(), std::uint64_t{0});
}

Result<std::map<std::string, Counter>> KernelFilter::drop_counters() const {
  std::map<std::string, Counter> out;
  std::vector<cordon_counter> values;
  for (std::uint32_t reason = 1; reason < CORDON_REASON_COUNT; ++reason) {
    if (!read_per_cpu(objects_->map("drop_counters"), reason, values))
      return fail_errno("can't read map 'drop_counters'", errno);
    out.emplace(reason_name(reason), sum(values));
  }
  return out;
}

Result<std::map<RuleId, Counter>> KernelFilter::rule_counters() const {
  std::map<RuleId, Counter> out;
  std::vector<cordon_counter> values;
  const int fd = objects_->map("rule_counters");
  std::uint32_t key = 0, next = 0;
  // A key that goes meanwhile makes the walk begin again; the map's size bounds it.
  for (int error = bpf_map_get_next_key(fd, nullptr, &next); error == 0;
       error = bpf_map_get_next_key(fd, &key, &next)) {
    key = next;
    if (read_per_cpu(fd, key, values)) out[RuleId(key)] = sum(values);
  }
  if (errno != ENOENT) return fail_errno("can't read map 'rule_counters'", errno);
  CORDON_ASSIGN(const auto cached, cached_rules());
  for (const auto& [rule, counted] : cached) {
    Counter& counter = out[rule];
    counter.packets += counted.packets;
    counter.bytes += counted.bytes;
  }
  const Use use(in_use_);
  for (const RuleId rule : gone_rules_) out.erase(rule);
  return out;
}

Result<std::map<RuleId, Counter>> KernelFilter::cached_rules() const {
  std::map<RuleId, Counter> out;
  std::vector<cordon_rule_slot> slots(CORDON_RULE_SLOTS * possible_cpus());
  std::vector<std::uint32_t> indexes(CORDON_RULE_SLOTS);
  std::uint32_t cursor = 0, count = CORDON_RULE_SLOTS;
  const int error = bpf_map_lookup_batch(objects_->map("rule_cache"), nullptr, &cursor, indexes.data(),
                                         slots.data(), &count, nullptr);
  if (error != 0 && errno != ENOENT) return fail_errno("can't read map 'rule_cache'", errno);
  for (const cordon_rule_slot& slot : slots) {
    if (slot.rule == 0) continue;
    Counter& counter = out[RuleId(slot.rule)];
    counter.packets += slot.packets;
    counter.bytes += slot.bytes;
  }
  return out;
}

}  // namespace cordon::node
