#ifndef CORDON_EBPF_UNDERLAY_BPF_H
#define CORDON_EBPF_UNDERLAY_BPF_H
/* The underlay guard (DATAPATH.md, "The underlay"): what a segment's services offer is not reachable around
 * the overlay (I13). Not on any hot path, so layer 4 is read with bpf_skb_load_bytes. */

#include "ebpf/outside.bpf.h"

static __always_inline int is_allowed_source(const struct tuple* tuple) {
  struct cordon_target_key key = {.prefix_bits = 128};
  __builtin_memcpy(key.address, &tuple->source, sizeof(key.address));
  struct cordon_allow* allow = bpf_map_lookup_elem(&underlay_allow, &key);
  return allow && !allow->source_port;
}

/* A controller's link whose beginning the guard didn't see: nodes begin it, over TCP, so no more comes from
 * there. */
static __always_inline int is_controller(const struct packet* p) {
  const struct tuple* t = &p->tuple;
  struct cordon_end end = {.address = t->source, .port = t->source_port, .protocol = IPPROTO_TCP};
  if (t->protocol != IPPROTO_TCP || is_bare_syn(p)) return 0;
  return bpf_map_lookup_elem(&underlay_ends, &end) != NULL;
}

static __always_inline int guard_of(__u8 protocol, __u16 port) {
  struct cordon_guard_key key = {.prefix_bits = 32, .protocol = protocol, .port = {port >> 8, port & 255}};
  struct cordon_guard* guard = bpf_map_lookup_elem(&underlay_guards, &key);
  if (!guard) return NOT_GUARDED;
  return guard->flags & CORDON_GUARD_COUNT_ONLY ? GUARDED_COUNT : GUARDED_DROP;
}

/* The stricter of what stands for the protocol and for any. */
static __always_inline int how_guarded(const struct tuple* tuple, __u8 mode) {
  if (mode == CORDON_UNDERLAY_CLOSED) return GUARDED_DROP;
  int by_protocol = guard_of(tuple->protocol, tuple->grant_port);
  int by_any = guard_of(0, tuple->grant_port);
  return by_protocol > by_any ? by_protocol : by_any;
}

/* As underlay_flows keeps it; the rest of the second's bits are cut off. */
static __always_inline __u32 second_of(__u64 now_ns) {
  return (__u32)(now_ns / CORDON_SECOND_NS) * CORDON_BEGUN_SECOND;
}

/* Has it been silent for too long to be answered? What a version without times wrote has no age yet. Another
 * CPU's clock may be a moment ahead. */
static __always_inline int fell_silent(__u32 begun, __u8 protocol, __u64 now_ns) {
  __s32 silent = second_of(now_ns) - begun / CORDON_BEGUN_SECOND * CORDON_BEGUN_SECOND;
  __u32 life = protocol == IPPROTO_TCP && (begun & CORDON_BEGUN_ANSWERED) ? CORDON_BEGUN_TCP_LIFE_S
                                                                          : CORDON_BEGUN_LIFE_S;
  return begun >= CORDON_BEGUN_SECOND && silent > (__s32)(life * CORDON_BEGUN_SECOND);
}

/* What is remembered of a packet's flow, if it holds still. */
static __always_inline __u32* begun_by(const struct tuple* tuple, __u64 now_ns) {
  struct cordon_flow_key key;
  flow_key_of(tuple, &key);
  __u32* begun = bpf_map_lookup_elem(&underlay_flows, &key);
  return begun && !fell_silent(READ_ONCE(*begun), tuple->protocol, now_ns) ? begun : NULL;
}

/* Written once a second at most: CPUs that share a flow don't pull at its line. */
static __always_inline void keep_alive(__u32* begun, __u64 now_ns, __u32 also) {
  __u32 held = READ_ONCE(*begun);
  __u32 now = second_of(now_ns) | (held & (CORDON_BEGUN_SECOND - 1)) | also;
  if (held != now) WRITE_ONCE(*begun, now);
}

static __always_inline void note_begin(const struct tuple* tuple, __u64 now_ns, __u32 by) {
  struct cordon_flow_key key;
  __u32 begun = second_of(now_ns) | by;
  flow_key_of(tuple, &key);
  bpf_map_update_elem(&underlay_flows, &key, &begun, BPF_ANY);
}

/* Does it answer what this host began? An error does with the packet that it quotes. */
static __always_inline int answers_us(struct __sk_buff* skb, const struct packet* p, __u64 now_ns) {
  if (p->icmp_error) {
    struct packet quote = {};
    if (!read_quoted(skb, p, &quote)) return 0;
    __u32* about = begun_by(&quote.tuple, now_ns);
    return about && (READ_ONCE(*about) & CORDON_BEGUN_HERE);
  }
  __u32* begun = begun_by(&p->tuple, now_ns);
  if (!begun) return 0;
  int here = READ_ONCE(*begun) & CORDON_BEGUN_HERE;
  keep_alive(begun, now_ns, here ? CORDON_BEGUN_ANSWERED : 0);
  return here;
}

/* First packets from outside are noted as such, so that an answer to one is not taken for a beginning. TCP
 * says by itself what is a beginning. */
static __always_inline void note_outside(const struct packet* p, __u64 now_ns) {
  if (!p->has_l4 || p->icmp_error || p->tuple.protocol == IPPROTO_TCP) return;
  if (!begun_by(&p->tuple, now_ns)) note_begin(&p->tuple, now_ns, 0);
}

/* A packet that is whole or a first fragment, from outside. */
static __always_inline int guard_in_whole(struct __sk_buff* skb, struct packet* p,
                                          const struct cordon_host* self, __u64 now_ns) {
  const struct tuple* t = &p->tuple;
  if (is_plumbing(p, 0) || is_allowed_source(t)) return VERDICT_ACCEPT;
  if (t->protocol == IPPROTO_UDP && self->wireguard_port && t->destination_port == self->wireguard_port)
    return VERDICT_ACCEPT;
  if (answers_us(skb, p, now_ns)) return VERDICT_ACCEPT;
  int how = how_guarded(t, self->underlay_mode);
  if (how == GUARDED_DROP && is_controller(p)) return VERDICT_ACCEPT;
  if (how != GUARDED_DROP) note_outside(p, now_ns);
  return how == NOT_GUARDED ? VERDICT_ACCEPT : refuse(skb, p, now_ns, how, CORDON_REASON_underlay);
}

/* A later fragment holds no port. Where everything is closed its first one must have passed; elsewhere it
 * comes to nothing without, and may have overtaken it. */
static __always_inline int guard_later(struct __sk_buff* skb, struct packet* p, __u8 mode, __u64 now_ns) {
  if (mode != CORDON_UNDERLAY_CLOSED || !join_fragment(p, now_ns, HOOK_GUARD_IN)) return VERDICT_ACCEPT;
  return refuse(skb, p, now_ns, GUARDED_DROP, CORDON_REASON_fragment);
}

/* What comes, once it was read; `reason`: why it couldn't be. */
static __always_inline int guard_incoming(struct __sk_buff* skb, struct packet* p,
                                          const struct cordon_host* self, __u64 now_ns, __u32 reason) {
  __u8 mode = self->underlay_mode;
  if (reason == HIDDEN_BY_TAGS) return refuse(skb, p, now_ns, GUARDED_DROP, CORDON_REASON_malformed);
  if (unlikely(comes_around(p, self)))
    return refuse(skb, p, now_ns, GUARDED_DROP, CORDON_REASON_outside_overlay);
  if (mode == CORDON_UNDERLAY_CONTAINED) return contain(skb, p, self, now_ns, reason, HOOK_GUARD_IN);
  if (reason == PASS_BELOW_IP || reason == CORDON_REASON_not_ip) return VERDICT_ACCEPT;
  if (reason && mode == CORDON_UNDERLAY_OFF) return VERDICT_ACCEPT;
  if (reason)
    return refuse(skb, p, now_ns, mode == CORDON_UNDERLAY_COUNT ? GUARDED_COUNT : GUARDED_DROP, reason);
  if (p->fragment_at) return guard_later(skb, p, mode, now_ns);
  int result = guard_in_whole(skb, p, self, now_ns);
  if (p->fragmented) keep_fragment(p, now_ns, HOOK_GUARD_IN, result == VERDICT_ACCEPT);
  return result;
}

/* Is this how a packet looks that begins something, or may? Of ICMP only a question can be answered. */
static __always_inline int begins(const struct packet* p) {
  const struct tuple* t = &p->tuple;
  if (!p->has_l4 || p->icmp_error) return 0;
  return t->protocol != IPPROTO_TCP || is_bare_syn(p);
}

/* What goes. */
static __always_inline int guard_outgoing(struct __sk_buff* skb, struct packet* p,
                                          const struct cordon_host* self, __u64 now_ns, __u32 reason) {
  p->tuple.direction = CORDON_EGRESS;
  if (reason == HIDDEN_BY_TAGS) reason = CORDON_REASON_malformed;
  if (unlikely(goes_around(skb, p, self)))
    return refuse(skb, p, now_ns, GUARDED_DROP, CORDON_REASON_outside_overlay);
  if (self->underlay_mode == CORDON_UNDERLAY_CONTAINED)
    return contain(skb, p, self, now_ns, reason, HOOK_GUARD_OUT);
  if (reason || !begins(p)) return VERDICT_ACCEPT;
  const struct tuple* t = &p->tuple;
  if (t->protocol == IPPROTO_UDP && self->wireguard_port && t->source_port == self->wireguard_port)
    return VERDICT_ACCEPT;
  __u32* begun = t->protocol == IPPROTO_TCP ? NULL : begun_by(t, now_ns);
  if (begun)
    keep_alive(begun, now_ns, 0);
  else
    note_begin(t, now_ns, CORDON_BEGUN_HERE);
  return VERDICT_ACCEPT;
}

static __always_inline int underlay_in(struct __sk_buff* skb, __u32 l2) {
  __u32 zero = 0;
  struct packet p = {};
  struct cordon_host* self = bpf_map_lookup_elem(&host, &zero);
  if (!self) return VERDICT_ACCEPT;
  __u32 reason = underlay_parse(skb, &p, l2);
  return guard_incoming(skb, &p, self, cached_boot_ns(), reason);
}

static __always_inline int underlay_out(struct __sk_buff* skb, __u32 l2) {
  __u32 zero = 0;
  struct packet p = {};
  struct cordon_host* self = bpf_map_lookup_elem(&host, &zero);
  if (!self) return VERDICT_ACCEPT;
  __u32 reason = underlay_parse(skb, &p, l2);
  return guard_outgoing(skb, &p, self, cached_boot_ns(), reason);
}

#endif
