#ifndef CORDON_EBPF_FLOW_BPF_H
#define CORDON_EBPF_FLOW_BPF_H
/* The flow table: one entry for both directions, found by a key whose ends are in canonical order. */

#include "ebpf/decide.bpf.h"
#include "ebpf/parse.bpf.h"

/* Of UDP, ICMP and other flows without a handshake, a principal may have this many remembered per window.
 * Past it each packet is decided and counted and nothing is remembered, so one flooder can't push everybody's
 * flows out. */
#define CORDON_FLOWS_PER_WINDOW 4096
#define CORDON_FLOW_WINDOW_NS (60 * CORDON_SECOND_NS)

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

static __always_inline int within_budget(const struct tuple* tuple, __u64 now_ns) {
  if (tuple->protocol == IPPROTO_TCP) return 1;
  struct cordon_address source = tuple->source; /* see decide() */
  struct cordon_limit* budget = bpf_map_lookup_elem(&flow_budgets, &source);
  if (!budget) {
    struct cordon_limit first = {.window_start_ns = now_ns, .sent = 1};
    bpf_map_update_elem(&flow_budgets, &source, &first, BPF_ANY);
    return 1;
  }
  if (now_ns - budget->window_start_ns >= CORDON_FLOW_WINDOW_NS) {
    budget->window_start_ns = now_ns;
    budget->sent = 0;
  }
  if (budget->sent >= CORDON_FLOWS_PER_WINDOW) return 0;
  __sync_fetch_and_add(&budget->sent, 1);
  return 1;
}

/* Adds are atomic: both hooks, on any CPU, meet in one entry. */
static __always_inline void touch(struct cordon_flow* flow, __u64 now_ns, __u32 packets, __u32 bytes) {
  WRITE_ONCE(flow->last_seen_ns, now_ns);
  __sync_fetch_and_add(&flow->packets, packets);
  __sync_fetch_and_add(&flow->bytes, bytes);
}

/* Tells the end of a TCP connection once: a reset, or both ends said FIN. The entry stays for the last ACKs.
 */
__noinline int note_end(struct packet* p, struct cordon_flow* flow, __u64 now_ns) {
  struct cordon_flow_key key;
  if (!p || !flow) return 0;
  int source_high = flow_key_of(&p->tuple, &key);
  if (p->tcp_flags & TCP_FIN)
    flow->flags |= from_origin(flow, source_high) ? CORDON_FLOW_FIN_ORIGIN : CORDON_FLOW_FIN_PEER;
  __u32 both = CORDON_FLOW_FIN_ORIGIN | CORDON_FLOW_FIN_PEER;
  if (flow->flags & CORDON_FLOW_CLOSED) return 0;
  if (!(p->tcp_flags & TCP_RST) && (flow->flags & both) != both) return 0;
  flow->flags |= CORDON_FLOW_CLOSED;
  struct tuple original = {};
  original_of(flow, &p->tuple, source_high, &original);
  struct happening closed = {.now_ns = now_ns,
                             .packets = flow->packets,
                             .bytes = flow->bytes,
                             .rule = flow->rule,
                             .kind = CORDON_EVENT_CLOSED};
  return emit(&original, &closed);
}

#endif
