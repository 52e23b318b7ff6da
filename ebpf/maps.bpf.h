#ifndef CORDON_EBPF_MAPS_BPF_H
#define CORDON_EBPF_MAPS_BPF_H
/* The maps (DATAPATH.md, "Maps"). Sizes here are placeholders of 1: the daemon sets them before it loads. */

#include <linux/bpf.h>
/* After it: the helpers need its types. */

#include <bpf/bpf_helpers.h>

#include "ebpf/abi.h"

#define CORDON_MAP(kind, name_, key_, value_, entries, flags) \
  struct {                                                    \
    __uint(type, kind);                                       \
    __uint(max_entries, entries);                             \
    __uint(map_flags, flags);                                 \
    __type(key, key_);                                        \
    __type(value, value_);                                    \
  } name_ SEC(".maps")

CORDON_MAP(BPF_MAP_TYPE_ARRAY, settings, __u32, struct cordon_settings, 1, BPF_F_MMAPABLE);
CORDON_MAP(BPF_MAP_TYPE_ARRAY, host, __u32, struct cordon_host, 1, 0);
CORDON_MAP(BPF_MAP_TYPE_HASH, principals, struct cordon_address, struct cordon_principal, 1,
           BPF_F_NO_PREALLOC);
CORDON_MAP(BPF_MAP_TYPE_LPM_TRIE, targets, struct cordon_target_key, struct cordon_target, 1,
           BPF_F_NO_PREALLOC);
CORDON_MAP(BPF_MAP_TYPE_LPM_TRIE, subnets, struct cordon_target_key, __u32, 1 << 20, BPF_F_NO_PREALLOC);
CORDON_MAP(BPF_MAP_TYPE_LPM_TRIE, people, struct cordon_person_key, struct cordon_person,
           CORDON_PEOPLE_PREFIXES, BPF_F_NO_PREALLOC);
CORDON_MAP(BPF_MAP_TYPE_HASH, grants, struct cordon_grant_key, struct cordon_grant, 1, BPF_F_NO_PREALLOC);
CORDON_MAP(BPF_MAP_TYPE_LPM_TRIE, grant_ranges, struct cordon_range_key, struct cordon_grant, 1,
           BPF_F_NO_PREALLOC);
CORDON_MAP(BPF_MAP_TYPE_LRU_HASH, flows, struct cordon_flow_key, struct cordon_flow, 1, 0);
CORDON_MAP(BPF_MAP_TYPE_LRU_HASH, fragments, struct cordon_fragment_key, struct cordon_fragment, 8192, 0);
CORDON_MAP(BPF_MAP_TYPE_PERCPU_HASH, rule_counters, __u32, struct cordon_counter, 1, BPF_F_NO_PREALLOC);
CORDON_MAP(BPF_MAP_TYPE_PERCPU_ARRAY, rule_cache, __u32, struct cordon_rule_slot, CORDON_RULE_SLOTS, 0);
CORDON_MAP(BPF_MAP_TYPE_PERCPU_ARRAY, drop_counters, __u32, struct cordon_counter, CORDON_REASON_COUNT, 0);
/* A trie's room costs nothing until it is used: these hold whatever there can be, every port of every
 * protocol. */
CORDON_MAP(BPF_MAP_TYPE_LPM_TRIE, underlay_guards, struct cordon_guard_key, struct cordon_guard, 1 << 24,
           BPF_F_NO_PREALLOC);
CORDON_MAP(BPF_MAP_TYPE_LPM_TRIE, underlay_allow, struct cordon_target_key, struct cordon_allow, 1 << 20,
           BPF_F_NO_PREALLOC);
CORDON_MAP(BPF_MAP_TYPE_HASH, underlay_ends, struct cordon_end, __u32, 65536, BPF_F_NO_PREALLOC);
CORDON_MAP(BPF_MAP_TYPE_LRU_HASH, underlay_flows, struct cordon_flow_key, __u32, 1, 0);
CORDON_MAP(BPF_MAP_TYPE_HASH, overlay_limits, struct cordon_limit_key, struct cordon_limit, CORDON_LIMIT_ROWS,
           BPF_F_NO_PREALLOC);
CORDON_MAP(BPF_MAP_TYPE_HASH, observed_limits, struct cordon_limit_key, struct cordon_limit,
           CORDON_LIMIT_ROWS, BPF_F_NO_PREALLOC);
CORDON_MAP(BPF_MAP_TYPE_HASH, underlay_limits, struct cordon_limit_key, struct cordon_limit,
           CORDON_LIMIT_ROWS, BPF_F_NO_PREALLOC);
CORDON_MAP(BPF_MAP_TYPE_ARRAY, limit_round, __u32, struct cordon_round, 1, 0);
CORDON_MAP(BPF_MAP_TYPE_ARRAY, other_denials, __u32, __u64, CORDON_OTHER_DENIALS, 0);
CORDON_MAP(BPF_MAP_TYPE_PERCPU_ARRAY, event_buckets, __u32, struct cordon_bucket, CORDON_BUCKETS, 0);
CORDON_MAP(BPF_MAP_TYPE_LRU_HASH, flow_budgets, struct cordon_address, struct cordon_budget, 16384, 0);
CORDON_MAP(BPF_MAP_TYPE_PERCPU_ARRAY, event_totals, __u32, __u64, CORDON_EVENTS_TOTALS, 0);
CORDON_MAP(BPF_MAP_TYPE_PERCPU_ARRAY, clock_cache, __u32, struct cordon_clock, 1, 0);

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} events SEC(".maps");

#endif
