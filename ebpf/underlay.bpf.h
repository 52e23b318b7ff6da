#ifndef CORDON_EBPF_UNDERLAY_BPF_H
#define CORDON_EBPF_UNDERLAY_BPF_H
/* The underlay guard (DATAPATH.md, "The underlay"): what a segment's services offer is not reachable around
 * the overlay (I13). Not on any hot path, so layer 4 is read with bpf_skb_load_bytes. */

#include "ebpf/verdict.bpf.h"

#define LONGEST_CHAIN 8 /* extension headers; more is nobody's honest packet */
#define BEGUN_OUTSIDE 0u
#define BEGUN_HERE 1u

struct guarded {
  struct packet packet;
  __u8 l4[20];
  __u8 has_l4; /* ports or an ICMP type were read */
  __u8 pad[3];
};

/* Steps over IPv6 extension headers, so that they can't hide the port. */
__noinline int walk_extensions(struct __sk_buff* skb, struct packet* p) {
  __u8 header[4];
  if (!p) return CORDON_REASON_malformed;
  for (int i = 0; i < LONGEST_CHAIN; i++) {
    __u8 protocol = p->tuple.protocol;
    if (protocol != IPPROTO_FRAGMENT && !is_extension(protocol)) return CORDON_REASON_none;
    if (bpf_skb_load_bytes(skb, p->l4_offset, header, sizeof(header))) return CORDON_REASON_malformed;
    __u32 size = protocol == IPPROTO_FRAGMENT ? 8
                 : protocol == IPPROTO_AH     ? (header[1] + 2) * 4
                                              : (header[1] + 1) * 8;
    if (protocol == IPPROTO_FRAGMENT && (((__u16)header[2] << 8 | header[3]) & 0xfff8)) p->later_fragment = 1;
    if (size > p->l4_bytes) return CORDON_REASON_malformed;
    p->tuple.protocol = header[0];
    p->l4_offset += size;
    p->l4_bytes -= size;
    if (p->later_fragment) return CORDON_REASON_none;
  }
  return CORDON_REASON_extension_header;
}

static __always_inline int has_ports(__u8 protocol) {
  return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == PROTOCOL_SCTP;
}

__noinline int read_l4(struct __sk_buff* skb, struct guarded* g) {
  if (!g) return CORDON_REASON_malformed;
  struct packet* p = &g->packet;
  __u8 protocol = p->tuple.protocol;
  int icmp = protocol == (p->is_v6 ? PROTOCOL_ICMPV6 : IPPROTO_ICMP);
  if (p->later_fragment || (!has_ports(protocol) && !icmp)) return CORDON_REASON_none;
  __u32 need = protocol == IPPROTO_TCP ? 20 : icmp ? 4 : 8;
  if (p->l4_bytes < need) return CORDON_REASON_malformed;
  if (protocol == IPPROTO_TCP) {
    if (bpf_skb_load_bytes(skb, p->l4_offset, g->l4, 20)) return CORDON_REASON_malformed;
    p->tcp_flags = g->l4[13];
  } else if (bpf_skb_load_bytes(skb, p->l4_offset, g->l4, 4)) {
    return CORDON_REASON_malformed;
  }
  g->has_l4 = 1;
  if (icmp)
    p->tuple.grant_port = p->tuple.destination_port = g->l4[0];
  else
    parse_ports(g->l4, p);
  return CORDON_REASON_none;
}

/* What a machine needs to have a network at all, and never carries a service. */
static __always_inline int is_plumbing(const struct guarded* g) {
  const struct tuple* t = &g->packet.tuple;
  if (!g->has_l4) return 0;
  if (t->protocol == IPPROTO_UDP)
    return (t->source_port == 67 && t->destination_port == 68) ||
           (t->source_port == 547 && t->destination_port == 546);
  if (t->protocol == IPPROTO_ICMP) return g->l4[0] == 3 && g->l4[1] == 4; /* fragmentation needed */
  if (t->protocol != PROTOCOL_ICMPV6) return 0;
  __u8 type = g->l4[0];
  return type == 2 || (type >= 130 && type <= 136) || type == 143; /* too big, MLD, ND */
}

/* An entry with a port is a controller's: nodes begin that link, over TCP, so nothing else comes from
 * there. */
static __always_inline int is_allowed_source(const struct packet* p) {
  const struct tuple* tuple = &p->tuple;
  struct cordon_target_key key = {.prefix_bits = 128};
  __builtin_memcpy(key.address, &tuple->source, sizeof(key.address));
  struct cordon_allow* allow = bpf_map_lookup_elem(&underlay_allow, &key);
  if (!allow || !allow->source_port) return allow != 0;
  return tuple->protocol == IPPROTO_TCP && allow->source_port == tuple->source_port && !is_bare_syn(p);
}

#define NOT_GUARDED 0
#define GUARDED_COUNT 1
#define GUARDED_DROP 2

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

/* Does it answer what this host began? First packets from outside are noted as such, so that an answer to one
 * is not taken for a beginning. TCP says by itself what is a beginning. */
static __always_inline int answers_us(const struct packet* p) {
  struct cordon_flow_key key;
  flow_key_of(&p->tuple, &key);
  __u32* begun = bpf_map_lookup_elem(&underlay_flows, &key);
  return begun && *begun == BEGUN_HERE;
}

static __always_inline void note_outside(const struct packet* p) {
  struct cordon_flow_key key;
  __u32 outside = BEGUN_OUTSIDE;
  if (p->tuple.protocol == IPPROTO_TCP) return;
  flow_key_of(&p->tuple, &key);
  bpf_map_update_elem(&underlay_flows, &key, &outside, BPF_NOEXIST);
}

__noinline int underlay_parse(struct __sk_buff* skb, struct guarded* g, __u32 l2) {
  if (!g) return CORDON_REASON_malformed;
  __u32 reason =
      l2 == L2_ETHERNET ? parse_l3(skb, L2_ETHERNET, &g->packet) : parse_l3(skb, L2_NONE, &g->packet);
  if (!reason && g->packet.is_v6) reason = walk_extensions(skb, &g->packet);
  if (!reason) reason = read_l4(skb, g);
  return reason;
}

static __always_inline int refuse(struct __sk_buff* skb, struct guarded* g, int how, __u32 reason) {
  __u64 now_ns = cached_boot_ns();
  if (how != GUARDED_DROP) reason = CORDON_REASON_underlay_observed;
  count_reason(reason, segments_of(skb), skb->len);
  struct happening seen = {.now_ns = now_ns, .kind = CORDON_EVENT_UNDERLAY, .reason = reason};
  emit(&g->packet.tuple, &seen);
  return how == GUARDED_DROP ? VERDICT_DROP : VERDICT_ACCEPT;
}

static __always_inline int underlay_in(struct __sk_buff* skb, __u32 l2) {
  __u32 zero = 0;
  struct guarded g = {};
  struct cordon_host* self = bpf_map_lookup_elem(&host, &zero);
  if (!self) return VERDICT_ACCEPT;
  __u8 mode = self->underlay_mode;
  __u32 reason = underlay_parse(skb, &g, l2);
  const struct tuple* t = &g.packet.tuple;
  if (reason == PASS_BELOW_IP || reason == CORDON_REASON_not_ip) return VERDICT_ACCEPT;
  if (reason) return mode == CORDON_UNDERLAY_OFF ? VERDICT_ACCEPT : refuse(skb, &g, GUARDED_DROP, reason);
  /* A later fragment holds no port; without its first, which is judged like any packet, it comes to nothing.
   */
  if (g.packet.later_fragment || is_plumbing(&g) || is_allowed_source(&g.packet)) return VERDICT_ACCEPT;
  if (t->protocol == IPPROTO_UDP && self->wireguard_port && t->destination_port == self->wireguard_port)
    return VERDICT_ACCEPT;
  int how = how_guarded(t, mode);
  if (how != NOT_GUARDED && !answers_us(&g.packet)) {
    if (how == GUARDED_COUNT) note_outside(&g.packet);
    return refuse(skb, &g, how, CORDON_REASON_underlay);
  }
  if (how == NOT_GUARDED && g.has_l4) note_outside(&g.packet);
  return VERDICT_ACCEPT;
}

static __always_inline int underlay_out(struct __sk_buff* skb, __u32 l2) {
  __u32 zero = 0, here = BEGUN_HERE;
  struct guarded g = {};
  struct cordon_flow_key key;
  struct cordon_host* self = bpf_map_lookup_elem(&host, &zero);
  if (!self || underlay_parse(skb, &g, l2) || !g.has_l4) return VERDICT_ACCEPT;
  const struct tuple* t = &g.packet.tuple;
  if (!has_ports(t->protocol)) return VERDICT_ACCEPT;
  if (t->protocol == IPPROTO_UDP && self->wireguard_port && t->source_port == self->wireguard_port)
    return VERDICT_ACCEPT;
  if (t->protocol == IPPROTO_TCP && !is_bare_syn(&g.packet)) return VERDICT_ACCEPT;
  flow_key_of(t, &key);
  bpf_map_update_elem(&underlay_flows, &key, &here, t->protocol == IPPROTO_TCP ? BPF_ANY : BPF_NOEXIST);
  return VERDICT_ACCEPT;
}

#endif
