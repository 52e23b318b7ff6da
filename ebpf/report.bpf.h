#ifndef CORDON_EBPF_REPORT_BPF_H
#define CORDON_EBPF_REPORT_BPF_H
/* What the programs count, and the clock that deadlines and events use. */

#include "ebpf/maps.bpf.h"

#define CORDON_SECOND_NS 1000000000ULL

/* Where another CPU may come between: nothing here; in tests/bpf/interleave.bpf.c what that CPU does. */
#ifndef CORDON_STEP
#define CORDON_STEP() ((void)0)
#endif

#define READ_ONCE(x)                  \
  ({                                  \
    CORDON_STEP();                    \
    *(const volatile typeof(x)*)&(x); \
  })
#define WRITE_ONCE(x, v)              \
  do {                                \
    *(volatile typeof(x)*)&(x) = (v); \
    CORDON_STEP();                    \
  } while (0)

/* What is read after this is not read before what is read in front of it. x86 keeps loads in order by itself.
 * For machines that don't (CMakeLists.txt) it is an atomic operation that returns something: the kernel makes
 * those full barriers. */
static __always_inline void read_barrier(void) {
#ifdef CORDON_WEAKLY_ORDERED
  __u64 word = 0, value = 0;
  __asm__ volatile("%0 = xchg_64(%1 + 0x0, %0)" : "+r"(value) : "r"(&word) : "memory");
#else
  __asm__ volatile("" ::: "memory");
#endif
}

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

/* A GSO packet is as many packets as it will be on the wire. One from a tun device may not say how many: then
 * it is worked out from its size, without the longest usual headers, to at most one too few. */
#define USUAL_HEADERS 80 /* IPv6, TCP with timestamps */
static __always_inline __u32 segments_of(struct __sk_buff* skb) {
  __u32 segments = skb->gso_segs, size = skb->gso_size, length = skb->len;
  if (segments || !size) return segments ? segments : 1;
  return length > USUAL_HEADERS ? (length - USUAL_HEADERS + size - 1) / size : 1;
}

/* Per-CPU values. A cgroup's hooks run in a process's context, where a tc program may come between load and
 * store: what both count is added atomically, what only tc programs do (bottom halves are off) plainly. */
static __always_inline void count_reason(__u32 reason, __u64 packets, __u64 bytes) {
  struct cordon_counter* counter = bpf_map_lookup_elem(&drop_counters, &reason);
  if (!counter) return;
  __sync_fetch_and_add(&counter->packets, packets);
  __sync_fetch_and_add(&counter->bytes, bytes);
}

static __always_inline void count_event(__u32 which, __u64 times) {
  __u64* total = bpf_map_lookup_elem(&event_totals, &which);
  if (total) __sync_fetch_and_add(total, times);
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
    /* On this CPU. */
    if (bpf_map_update_elem(&rule_counters, &rule, &moved, BPF_NOEXIST))
      count_event(CORDON_COUNTS_LOST, moved.packets);
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

#endif
