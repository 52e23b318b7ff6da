#ifndef CORDON_EBPF_REPORT_BPF_H
#define CORDON_EBPF_REPORT_BPF_H
/* What the programs tell: counters, events, and the clock that both and the deadlines use. */

#include "ebpf/maps.bpf.h"

#define CORDON_SECOND_NS 1000000000ULL
#define CORDON_DENIED_EVENTS_PER_SECOND 8
#define CORDON_OPENED_EVENTS_PER_SECOND 1024

#define READ_ONCE(x) (*(const volatile typeof(x)*)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x)*)&(x) = (v))

/* A packet's two ends as one direction sees them, and what grants are asked for. */
struct tuple {
  struct cordon_address source, destination;
  __u16 source_port, destination_port;
  __u16 grant_port; /* the destination's port, or the ICMP type */
  __u8 protocol;
  __u8 direction; /* which hook a packet of this tuple passes */
};

/* Boot time, read once per jiffy per CPU: reading the clock costs more than the rest of a known flow's path.
 * Only for the tc programs: they can't interrupt each other on one CPU, so the pair is never seen half
 * written. */
static __always_inline __u64 cached_boot_ns(void) {
  __u32 zero = 0;
  struct cordon_clock* cache = bpf_map_lookup_elem(&clock_cache, &zero);
  __u64 jiffies = bpf_jiffies64();
  if (!cache) return bpf_ktime_get_boot_ns();
  if (cache->jiffies != jiffies) {
    cache->now_ns = bpf_ktime_get_boot_ns();
    cache->jiffies = jiffies;
  }
  return cache->now_ns;
}

/* A GSO packet is as many packets as it will be on the wire. */
static __always_inline __u32 segments_of(struct __sk_buff* skb) {
  __u32 segments = skb->gso_segs;
  return segments ? segments : 1;
}

/* Per-CPU values: the tc programs run with bottom halves off, so a plain add is whole. */
static __always_inline void count_reason(__u32 reason, __u64 packets, __u64 bytes) {
  struct cordon_counter* counter = bpf_map_lookup_elem(&drop_counters, &reason);
  if (!counter) return;
  counter->packets += packets;
  counter->bytes += bytes;
}

/* Moves a slot's count to rule_counters and gives the slot to another rule. */
static __noinline void hand_over(struct cordon_rule_slot* slot, __u32 to_rule) {
  __u32 rule = slot->rule;
  struct cordon_counter moved = {.packets = slot->packets, .bytes = slot->bytes};
  slot->rule = to_rule;
  slot->packets = slot->bytes = 0;
  if (!rule) return;
  struct cordon_counter* counter = bpf_map_lookup_elem(&rule_counters, &rule);
  if (!counter) {
    bpf_map_update_elem(&rule_counters, &rule, &moved,
                        BPF_NOEXIST); /* on this CPU; full: the count is lost */
    return;
  }
  counter->packets += moved.packets;
  counter->bytes += moved.bytes;
}

static __always_inline void count_rule(__u32 rule, __u64 packets, __u64 bytes) {
  __u32 index = rule % CORDON_RULE_SLOTS;
  struct cordon_rule_slot* slot = bpf_map_lookup_elem(&rule_cache, &index);
  if (!slot) return;
  if (slot->rule != rule) hand_over(slot, rule);
  slot->packets += packets;
  slot->bytes += bytes;
}

static __always_inline void count_event(__u32 which) {
  __u64* total = bpf_map_lookup_elem(&event_totals, &which);
  if (total) *total += 1;
}

/* True when one more of this source and reason may be sent in this second; then *suppressed is what was not
 * sent before. Two CPUs may both take the last place: a limit, not an account. */
static __always_inline int event_allowed(const struct cordon_address* source, __u32 reason, __u64 now,
                                         __u64* suppressed) {
  struct cordon_limit_key key = {.source = *source, .reason = reason};
  __u32 most = reason ? CORDON_DENIED_EVENTS_PER_SECOND : CORDON_OPENED_EVENTS_PER_SECOND;
  struct cordon_limit* limit = bpf_map_lookup_elem(&event_limits, &key);
  if (!limit) {
    struct cordon_limit first = {.window_start_ns = now, .sent = 1};
    bpf_map_update_elem(&event_limits, &key, &first, BPF_ANY);
    return 1;
  }
  if (now - limit->window_start_ns >= CORDON_SECOND_NS) {
    limit->window_start_ns = now;
    limit->sent = 0;
  }
  if (limit->sent >= most) {
    limit->suppressed++;
    return 0;
  }
  limit->sent++;
  *suppressed = limit->suppressed;
  limit->suppressed = 0;
  return 1;
}

struct happening {
  __u64 now_ns, packets, bytes;
  __u32 rule;
  __u8 kind, reason, pad[2];
};

/* Functions that are not static are verified once, by their types, and not again for each path that leads to
 * them. Their pointers may be null as far as the verifier knows; what they point to must be initialised,
 * padding included; they must return a number. */
__noinline int emit(const struct tuple* tuple, const struct happening* what) {
  __u64 suppressed = 0;
  if (!tuple || !what) return 0;
  if (what->kind != CORDON_EVENT_CLOSED &&
      !event_allowed(&tuple->source, what->reason, what->now_ns, &suppressed)) {
    count_event(CORDON_EVENTS_SUPPRESSED);
    return 0;
  }
  struct cordon_event* event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
  if (!event) {
    count_event(CORDON_EVENTS_LOST);
    return 0;
  }
  *event = (struct cordon_event){
      .at_ns = what->now_ns,
      .source = tuple->source,
      .destination = tuple->destination,
      .packets = what->packets,
      .bytes = what->bytes,
      .suppressed = suppressed,
      .rule = what->rule,
      .source_port = tuple->source_port,
      .destination_port = tuple->destination_port,
      .protocol = tuple->protocol,
      .direction = tuple->direction,
      .kind = what->kind,
      .reason = what->reason,
  };
  bpf_ringbuf_submit(event, 0);
  return 0;
}

#endif
