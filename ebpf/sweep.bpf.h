#ifndef CORDON_EBPF_SWEEP_BPF_H
#define CORDON_EBPF_SWEEP_BPF_H
/* What only a walk over the maps can know, run by the daemon every few seconds: flows that ended by falling
 * silent are told and removed, what each principal owns is counted anew (the LRU map evicts without a word),
 * and denials that were counted but not sent are told (in a second run: limit.bpf.h). Without it nothing is
 * accepted that wouldn't be. */

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

/* A row of the round that is over: nobody counts in it any more. */
static long tell_limit(void* map, const struct cordon_limit_key* at, struct cordon_limit* limit,
                       struct cordon_sweep* work) {
  struct cordon_limit_key key = *at;
  if (key.round == work->round) return 0;
  if (limit->suppressed) {
    struct tuple last = {
        .source = key.source,
        .destination = limit->destination,
        .source_port = limit->source_port,
        .destination_port = limit->destination_port,
        .protocol = limit->protocol,
        .direction = limit->direction,
    };
    /* The event is one of them itself. */
    struct happening denied = {.now_ns = work->now_ns,
                               .suppressed = limit->suppressed - 1,
                               .rule = limit->rule,
                               .kind = limit->kind,
                               .reason = key.reason};
    if (!send_event(&last, &denied)) { /* no room now: the next time */
      work->untold++;
      return 0;
    }
    work->denials_told++;
  }
  bpf_map_delete_elem(map, &key);
  return 0;
}

/* What had no row, without a source. (A callback, as the verifier walks a loop as often as it runs.) */
static long tell_others(void* map, const __u32* at, __u64* others, struct cordon_sweep* work) {
  (void)map;
  __u32 i = *at;
  if (!READ_ONCE(*others)) return 0;
  __u64 denials = __sync_lock_test_and_set(others, 0);
  struct tuple nobody = {.direction = i / CORDON_REASON_COUNT & 1};
  struct happening denied = {
      .now_ns = work->now_ns,
      .suppressed = denials - 1,
      .kind = i / CORDON_REASON_COUNT & 2 ? CORDON_EVENT_UNDERLAY : CORDON_EVENT_DENIED,
      .reason = i % CORDON_REASON_COUNT};
  if (send_event(&nobody, &denied)) {
    work->denials_told++;
  } else {
    __sync_fetch_and_add(others, denials);
    work->untold++;
  }
  return 0;
}

static __always_inline void tell_round(struct cordon_sweep* work, struct cordon_round* round) {
  work->round = round->round & 1;
  bpf_for_each_map_elem(&overlay_limits, tell_limit, work, 0);
  bpf_for_each_map_elem(&observed_limits, tell_limit, work, 0);
  bpf_for_each_map_elem(&underlay_limits, tell_limit, work, 0);
  bpf_for_each_map_elem(&other_denials, tell_others, work, 0);
  WRITE_ONCE(round->full, 0); /* there is room again */
}

static long note_limit(void* map, const struct cordon_limit_key* at, struct cordon_limit* limit,
                       struct cordon_sweep* work) {
  (void)map, (void)limit;
  work->untold++;
  work->left = at->round != work->round;
  return work->left;
}

static long note_others(void* map, const __u32* at, __u64* others, struct cordon_sweep* work) {
  (void)map, (void)at;
  if (READ_ONCE(*others)) work->untold++;
  return 0;
}

/* Is there something to tell? Then rows that are made from now on are of the other round, unless it has some
 * left that the ring had no room for: those are told first. */
static __always_inline void end_round(struct cordon_sweep* work, struct cordon_round* round) {
  work->round = round->round & 1;
  bpf_for_each_map_elem(&overlay_limits, note_limit, work, 0);
  if (!work->left) bpf_for_each_map_elem(&observed_limits, note_limit, work, 0);
  if (!work->left) bpf_for_each_map_elem(&underlay_limits, note_limit, work, 0);
  bpf_for_each_map_elem(&other_denials, note_others, work, 0);
  if (work->untold && !work->left) WRITE_ONCE(round->round, !work->round);
}

static __always_inline void sweep_flows(struct cordon_sweep* work) {
  bpf_for_each_map_elem(&flow_budgets, begin_count, NULL, 0);
  bpf_for_each_map_elem(&flows, visit_flow, work, 0);
  bpf_for_each_map_elem(&flow_budgets, end_count, NULL, 0);
}

static __always_inline int sweep_all(struct cordon_sweep* asked) {
  __u32 zero = 0;
  struct cordon_sweep work = *asked;
  struct cordon_round* round = bpf_map_lookup_elem(&limit_round, &zero);
  if (!round) return 0;
  work.flows_left = work.flows_ended = work.denials_told = work.events_lost = work.untold = work.left = 0;
  if (!work.now_ns) work.now_ns = bpf_ktime_get_boot_ns();
  if (work.telling) {
    tell_round(&work, round);
  } else {
    sweep_flows(&work);
    end_round(&work, round);
  }
  *asked = work;
  return 0;
}

#endif
