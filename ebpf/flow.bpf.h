#ifndef CORDON_EBPF_FLOW_BPF_H
#define CORDON_EBPF_FLOW_BPF_H
/* The flow table: one entry for both directions, found by a key whose ends are in canonical order. */

#include "ebpf/decide.bpf.h"
#include "ebpf/parse.bpf.h"

static __always_inline int comes_after(const struct cordon_address* a, const struct cordon_address* b,
                                       __u16 a_port, __u16 b_port) {
  if (a->word[1] != b->word[1]) return a->word[1] > b->word[1];
  if (a->word[0] != b->word[0]) return a->word[0] > b->word[0];
  return a_port > b_port;
}

/* Fills the key; true when the tuple's source is the key's high end. */
static __always_inline int flow_key_of(const struct tuple* tuple, struct cordon_flow_key* key) {
  int source_high =
      comes_after(&tuple->source, &tuple->destination, tuple->source_port, tuple->destination_port);
  key->low = source_high ? tuple->destination : tuple->source;
  key->high = source_high ? tuple->source : tuple->destination;
  key->low_port = source_high ? tuple->destination_port : tuple->source_port;
  key->high_port = source_high ? tuple->source_port : tuple->destination_port;
  key->protocol = tuple->protocol;
  key->pad[0] = key->pad[1] = key->pad[2] = 0;
  return source_high;
}

/* NULL: none. The key is gone when this returns: what a caller keeps on its stack afterwards may lie there.
 */
static __always_inline struct cordon_flow* find_flow(const struct tuple* tuple, int* source_high) {
  struct cordon_flow_key key;
  *source_high = flow_key_of(tuple, &key);
  return bpf_map_lookup_elem(&flows, &key);
}

static __always_inline int from_origin(const struct cordon_flow* flow, int source_high) {
  return !!(flow->flags & CORDON_FLOW_ORIGIN_HIGH) == source_high;
}

/* The beginner's packets pass one hook and the answers the other; a packet at the wrong one is no part of the
 * flow. */
static __always_inline int at_right_hook(const struct cordon_flow* flow, int source_high, __u8 direction) {
  __u8 hook = flow->flags & CORDON_FLOW_EGRESS ? CORDON_EGRESS : CORDON_INGRESS;
  return (hook == direction) == from_origin(flow, source_high);
}

static __always_inline void reverse(const struct tuple* tuple, struct tuple* reversed) {
  reversed->source = tuple->destination;
  reversed->destination = tuple->source;
  reversed->source_port = tuple->destination_port;
  reversed->destination_port = tuple->source_port;
  reversed->grant_port = tuple->source_port;
  reversed->protocol = tuple->protocol;
  reversed->direction = !tuple->direction;
}

/* The tuple that the flow was begun with, seen from a packet of either direction. */
static __always_inline void original_of(const struct cordon_flow* flow, const struct tuple* packet,
                                        int source_high, struct tuple* original) {
  if (from_origin(flow, source_high))
    *original = *packet;
  else
    reverse(packet, original);
  original->grant_port = flow->grant_port;
}

/* Epoch and deadline are one word, stored and read in one piece. Two CPUs may renew one flow at once, one of
 * them still by the epoch before, with a deadline that the new state shortened: whichever stores last, what
 * stands there is one decision's deadline under that decision's own epoch. The stale one is honoured by
 * nobody who has seen the new epoch, and costs another decision. (Rule and flags may be the stale one's until
 * then: they say what is counted, not what is let through.) */
static __always_inline __u64 stamp_of(__u32 epoch, __u64 deadline_ns) {
  __u64 ticks = deadline_ns >> CORDON_TICK_BITS;
  if (ticks > 0xffffffffULL) ticks = 0xffffffffULL;
  return (__u64)epoch << 32 | ticks;
}

/* Was the flow decided in the view's epoch, and is its deadline to come? */
static __always_inline int still_holds(const struct cordon_flow* flow, const struct view* view) {
  __u64 stamp = READ_ONCE(flow->stamp);
  return stamp >> 32 == view->epoch && (stamp & 0xffffffffULL) > view->now_ns >> CORDON_TICK_BITS;
}

/* Its end was told, or both ends said FIN. */
static __always_inline int has_ended(__u32 flags) {
  const __u32 both = CORDON_FLOW_FIN_ORIGIN | CORDON_FLOW_FIN_PEER;
  return (flags & CORDON_FLOW_CLOSED) || (flags & both) == both;
}

/* What `recent` counts. */
static __always_inline __u64 packets_in(__u64 recent) {
  return recent >> CORDON_RECENT_BIT;
}
static __always_inline __u64 bytes_in(__u64 recent) {
  return recent & ((1ULL << CORDON_RECENT_BIT) - 1);
}

/* Adds are atomic: both hooks, on any CPU, meet in one entry. */
static __always_inline void touch(struct cordon_flow* flow, __u64 now_ns, __u32 packets, __u32 bytes) {
  WRITE_ONCE(flow->last_seen_ns, now_ns);
  __u64 more = (__u64)packets << CORDON_RECENT_BIT | bytes;
  if (likely(!(__sync_fetch_and_add(&flow->recent, more) & CORDON_RECENT_FULL))) return;
  __u64 recent = __sync_lock_test_and_set(&flow->recent, 0);
  __sync_fetch_and_add(&flow->packets, packets_in(recent));
  __sync_fetch_and_add(&flow->bytes, bytes_in(recent));
}

#endif
