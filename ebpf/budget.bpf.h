#ifndef CORDON_EBPF_BUDGET_BPF_H
#define CORDON_EBPF_BUDGET_BPF_H
/* How many flows a principal owns. Past its share each packet is decided and counted and nothing is
 * remembered, so one flooder can't push everybody's flows out of the LRU map. What the map evicts by itself
 * is noticed by the sweep (sweep.bpf.h), which counts again. */

#include "ebpf/flow.bpf.h"

/* Does the flow count as `live`, rather than as a stream? */
static __always_inline int is_live(__u8 protocol, __u32 flags) {
  return protocol != IPPROTO_TCP || (flags & (CORDON_FLOW_HALF_OPEN | CORDON_FLOW_CLOSED));
}

/* True when the owner may have one more. Two CPUs may both take the last place. */
static __always_inline int take_place(const struct tuple* original, int live) {
  struct cordon_address owner = original->source; /* see decide() */
  struct cordon_budget* budget = bpf_map_lookup_elem(&flow_budgets, &owner);
  if (!budget) {
    struct cordon_budget first = {.live = live, .streams = !live};
    bpf_map_update_elem(&flow_budgets, &owner, &first, BPF_NOEXIST);
    return 1;
  }
  __s32* count = live ? &budget->live : &budget->streams;
  if (READ_ONCE(*count) >= (live ? CORDON_FLOWS_PER_PRINCIPAL : CORDON_STREAMS_PER_PRINCIPAL)) return 0;
  __sync_fetch_and_add(count, 1);
  return 1;
}

static __always_inline void leave_place(const struct tuple* original, int live) {
  struct cordon_address owner = original->source;
  struct cordon_budget* budget = bpf_map_lookup_elem(&flow_budgets, &owner);
  if (budget) __sync_fetch_and_add(live ? &budget->live : &budget->streams, -1);
}

/* The flow counts otherwise from now on; false when its owner has too many of those. */
static __always_inline int change_place(const struct tuple* original, int to_live) {
  leave_place(original, !to_live);
  return take_place(original, to_live);
}

/* The flow's end with what it carried, which counts as told from then on. */
static __always_inline void closed_of(struct cordon_flow* flow, __u64 now_ns, __u32 reason,
                                      struct happening* closed) {
  closed->now_ns = now_ns;
  __u64 recent = __sync_lock_test_and_set(&flow->recent, 0);
  closed->packets = __sync_lock_test_and_set(&flow->packets, 0) + packets_in(recent);
  closed->bytes = __sync_lock_test_and_set(&flow->bytes, 0) + bytes_in(recent);
  closed->rule = flow->rule;
  closed->kind = CORDON_EVENT_CLOSED;
  closed->reason = reason;
}

/* An entry whose end was told has more to tell when packets came since: a RST is believed, but its receiver
 * may have passed over it. */
static __always_inline int is_untold(__u32 flags, const struct happening* closed) {
  return !(flags & CORDON_FLOW_CLOSED) || closed->packets;
}

/* The flow is over, and this packet begins another with the same ends. */
__noinline int forget(struct packet* p, struct cordon_flow* flow, __u64 now_ns) {
  struct cordon_flow_key key;
  struct tuple original = {};
  struct happening closed = {};
  if (!p || !flow) return 0;
  original_of(flow, &p->tuple, flow_key_of(&p->tuple, &key), &original);
  closed_of(flow, now_ns, CORDON_REASON_none, &closed);
  __u32 flags = flow->flags;
  leave_place(&original, is_live(original.protocol, flags));
  bpf_map_delete_elem(&flows, &key);
  return is_untold(flags, &closed) ? emit(&original, &closed) : 0;
}

/* This packet's flow no longer holds. */
__noinline int cut(struct packet* p, __u64 now_ns, __u32 reason) {
  struct cordon_flow_key key;
  struct tuple original = {};
  struct happening closed = {};
  if (!p) return 0;
  int source_high = flow_key_of(&p->tuple, &key);
  struct cordon_flow* flow = bpf_map_lookup_elem(&flows, &key);
  if (!flow) return 0;
  original_of(flow, &p->tuple, source_high, &original);
  closed_of(flow, now_ns, reason, &closed);
  __u32 flags = flow->flags;
  leave_place(&original, is_live(original.protocol, flags));
  bpf_map_delete_elem(&flows, &key);
  return is_untold(flags, &closed) ? emit(&original, &closed) : 0;
}

/* A packet of a TCP flow that is half open, or that ends one: the end is told for a reset, or with the ACK
 * that follows when both ends said FIN; the entry stays, and if more passes, that is told when it goes. Flows
 * that their owner has no place for are forgotten, as TCP can be: either direction is decided without. */
__noinline int note_stage(struct packet* p, struct cordon_flow* flow, __u64 now_ns) {
  struct cordon_flow_key key;
  struct tuple original = {};
  if (!p || !flow) return 0;
  int source_high = flow_key_of(&p->tuple, &key);
  int origin = from_origin(flow, source_high);
  __u32 flags = flow->flags;
  if (flags & CORDON_FLOW_CLOSED) return 0;
  original_of(flow, &p->tuple, source_high, &original);
  if (p->tcp_flags & TCP_FIN) {
    __u32 ended = origin ? CORDON_FLOW_FIN_ORIGIN : CORDON_FLOW_FIN_PEER;
    flags = __sync_fetch_and_or(&flow->flags, ended) | ended;
  }
  if ((p->tcp_flags & TCP_RST) || (has_ended(flags) && !(p->tcp_flags & TCP_FIN))) {
    __u32 before = __sync_fetch_and_or(&flow->flags, CORDON_FLOW_CLOSED);
    if (before & CORDON_FLOW_CLOSED) return 0;
    struct happening closed = {};
    closed_of(flow, now_ns, CORDON_REASON_none, &closed);
    if (!is_live(IPPROTO_TCP, before) && !change_place(&original, 1)) bpf_map_delete_elem(&flows, &key);
    emit(&original, &closed);
    return 0;
  }
  if (!(flags & CORDON_FLOW_HALF_OPEN)) return 0;
  if (!origin) {
    __sync_fetch_and_or(&flow->flags, CORDON_FLOW_ANSWERED);
  } else if ((flags & CORDON_FLOW_ANSWERED) && !(p->tcp_flags & TCP_SYN)) {
    __u32 before = __sync_fetch_and_and(&flow->flags, ~CORDON_FLOW_HALF_OPEN);
    if ((before & CORDON_FLOW_HALF_OPEN) && !change_place(&original, 0)) bpf_map_delete_elem(&flows, &key);
  }
  return 0;
}

#endif
