#ifndef CORDON_EBPF_SWEEP_BPF_H
#define CORDON_EBPF_SWEEP_BPF_H
/* What only a walk over the maps can know, run by the daemon every few seconds: flows that ended by falling
 * silent are told and removed, what each principal owns is counted anew (the LRU map evicts without a word),
 * and denials that were counted but not sent are told. Without it nothing is accepted that wouldn't be. */

#include "ebpf/budget.bpf.h"

#define MOST_ENDS_A_SWEEP 16384u /* the ring holds that many and more */
#define FEW_PACKETS 4

static long begin_count(void* map, const void* key, struct cordon_budget* budget, void* unused) {
  (void)map, (void)key, (void)unused;
  budget->live_before = READ_ONCE(budget->live);
  budget->streams_before = READ_ONCE(budget->streams);
  budget->live_counted = budget->streams_counted = 0;
  return 0;
}

/* What was taken or left meanwhile stays: too much by what was both taken and counted, until the next time.
 * Whoever owns nothing any more is forgotten; a place taken in that moment is counted the next time. */
static long end_count(void* map, const struct cordon_address* of, struct cordon_budget* budget,
                      void* unused) {
  (void)map, (void)unused;
  __sync_fetch_and_add(&budget->live, budget->live_counted - budget->live_before);
  __sync_fetch_and_add(&budget->streams, budget->streams_counted - budget->streams_before);
  if (READ_ONCE(budget->live) > 0 || READ_ONCE(budget->streams) > 0) return 0;
  struct cordon_address owner = *of;
  bpf_map_delete_elem(&flow_budgets, &owner);
  return 0;
}

static __always_inline void count_flow(const struct cordon_address* of, int live) {
  struct cordon_address owner = *of;
  struct cordon_budget* budget = bpf_map_lookup_elem(&flow_budgets, &owner);
  if (!budget) {
    struct cordon_budget first = {.live_counted = live, .streams_counted = !live};
    bpf_map_update_elem(&flow_budgets, &owner, &first, BPF_NOEXIST);
    return;
  }
  if (live)
    budget->live_counted++;
  else
    budget->streams_counted++;
}

static __always_inline __u64 longest_silence(const struct cordon_sweep* work, __u8 protocol,
                                             const struct cordon_flow* flow) {
  __u64 packets = flow->packets + packets_in(READ_ONCE(flow->recent));
  if (protocol != IPPROTO_TCP) return packets < FEW_PACKETS ? work->idle_ns : work->stream_ns;
  if (has_ended(flow->flags)) return work->closed_ns;
  return flow->flags & CORDON_FLOW_HALF_OPEN ? work->idle_ns : work->tcp_ns;
}

static long visit_flow(void* map, const struct cordon_flow_key* at, struct cordon_flow* flow,
                       struct cordon_sweep* work) {
  (void)map;
  struct cordon_flow_key key = *at;
  int origin_high = (flow->flags & CORDON_FLOW_ORIGIN_HIGH) != 0;
  struct tuple original = {
      .source = origin_high ? key.high : key.low,
      .destination = origin_high ? key.low : key.high,
      .source_port = origin_high ? key.high_port : key.low_port,
      .destination_port = origin_high ? key.low_port : key.high_port,
      .grant_port = flow->grant_port,
      .protocol = key.protocol,
      .direction = flow->flags & CORDON_FLOW_EGRESS ? CORDON_EGRESS : CORDON_INGRESS,
  };
  __u64 seen = READ_ONCE(flow->last_seen_ns);
  if (work->now_ns < seen || work->now_ns - seen < longest_silence(work, key.protocol, flow) ||
      work->flows_ended >= MOST_ENDS_A_SWEEP) {
    count_flow(&original.source, is_live(key.protocol, flow->flags));
    work->flows_left++;
    return 0;
  }
  struct happening closed = {};
  closed_of(flow, work->now_ns, CORDON_REASON_none, &closed);
  int untold = is_untold(flow->flags, &closed);
  bpf_map_delete_elem(&flows, &key);
  work->flows_ended++;
  if (untold && !send_event(&original, &closed)) work->events_lost++;
  return 0;
}

static long visit_limit(void* map, const struct cordon_limit_key* key, struct cordon_limit* limit,
                        struct cordon_sweep* work) {
  (void)map;
  if (work->now_ns < limit->window_start_ns + CORDON_SECOND_NS) return 0;
  if (!limit->suppressed) { /* silent for a while, and all is told */
    struct cordon_limit_key over = *key;
    bpf_map_delete_elem(&event_limits, &over);
    return 0;
  }
  struct tuple last = {
      .source = key->source,
      .destination = limit->destination,
      .source_port = limit->source_port,
      .destination_port = limit->destination_port,
      .protocol = limit->protocol,
      .direction = limit->direction,
  };
  /* The event is one of them itself. */
  struct happening denied = {
      .now_ns = work->now_ns, .rule = limit->rule, .kind = limit->kind, .reason = key->reason};
  __u32 suppressed = __sync_lock_test_and_set(&limit->suppressed, 0);
  if (!suppressed) return 0;
  denied.suppressed = suppressed - 1;
  if (!send_event(&last, &denied)) { /* no room now: the next time */
    __sync_fetch_and_add(&limit->suppressed, suppressed);
    return 0;
  }
  work->denials_told++;
  return 0;
}

static __always_inline int sweep_all(struct cordon_sweep* asked) {
  struct cordon_sweep work = *asked;
  work.flows_left = work.flows_ended = work.denials_told = work.events_lost = 0;
  if (!work.now_ns) work.now_ns = bpf_ktime_get_boot_ns();
  bpf_for_each_map_elem(&flow_budgets, begin_count, NULL, 0);
  bpf_for_each_map_elem(&flows, visit_flow, &work, 0);
  bpf_for_each_map_elem(&flow_budgets, end_count, NULL, 0);
  bpf_for_each_map_elem(&event_limits, visit_limit, &work, 0);
  *asked = work;
  return 0;
}

#endif
