#ifndef CORDON_EBPF_CONTAIN_BPF_H
#define CORDON_EBPF_CONTAIN_BPF_H
/* The underlay of an isolated host (DATAPATH.md, "Isolation on the isolated host itself"), both ways: what a
 * machine needs to have a network, the controllers, and WireGuard to the peers that are left. And what the
 * guard shares with it. */

#include "ebpf/verdict.bpf.h"

#define NOT_GUARDED 0
#define GUARDED_COUNT 1
#define GUARDED_DROP 2

#define ETHERTYPE_EAPOL 0x888e
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88a8
#define VLAN_ID 0x0fff
#define HIDDEN_BY_TAGS 254u /* IP behind tags of no VLAN: the host alone would find it */

/* What a machine needs to have a network at all, and never carries a service: asked of DHCP servers (`out`)
 * or answered by them, neighbours, routers, and errors that tell a path's MTU. */
static __always_inline int is_plumbing(const struct packet* p, int out) {
  const struct tuple* t = &p->tuple;
  if (!p->has_l4) return 0;
  __u16 server = out ? t->destination_port : t->source_port;
  __u16 client = out ? t->source_port : t->destination_port;
  if (t->protocol == IPPROTO_UDP)
    return p->is_v6 ? server == 547 && client == 546 : server == 67 && client == 68;
  if (t->protocol == IPPROTO_ICMP) return t->grant_port == 3 && p->icmp_code == 4; /* fragmentation needed */
  if (t->protocol != PROTOCOL_ICMPV6) return 0;
  __u16 type = p->tuple.grant_port;
  return type == 2 || (type >= 130 && type <= 136) || type == 143; /* too big, MLD, ND */
}

/* Tags that stand in the packet; the outermost was taken off before this program and is in vlan_tci. Tagged
 * for a VLAN: that VLAN's own interface takes it and judges; without one nobody takes it. But tags of VLAN 0
 * the host takes off itself, however many, and goes on with what is behind them: one there may be, before
 * this program; a second one only hides something. */
static __always_inline __u32 look_at_tags(struct __sk_buff* skb, __u32 l2) {
  __be16 tag = 0;
  if (skb->protocol != bpf_htons(ETHERTYPE_VLAN) && skb->protocol != bpf_htons(ETHERTYPE_QINQ))
    return CORDON_REASON_none;
  if (skb->vlan_present && (skb->vlan_tci & VLAN_ID)) return PASS_BELOW_IP;
  if (bpf_skb_load_bytes(skb, l2, &tag, sizeof(tag))) return HIDDEN_BY_TAGS;
  return tag & bpf_htons(VLAN_ID) ? PASS_BELOW_IP : HIDDEN_BY_TAGS;
}

__noinline int underlay_parse(struct __sk_buff* skb, struct packet* p, __u32 l2) {
  if (!p) return CORDON_REASON_malformed;
  __u32 reason = look_at_tags(skb, l2);
  if (reason) return reason;
  reason = l2 == L2_ETHERNET ? parse_l3(skb, L2_ETHERNET, p) : parse_l3(skb, L2_NONE, p);
  return reason ? reason : parse_behind_ip(skb, p);
}

static __always_inline int refuse(struct __sk_buff* skb, struct packet* p, __u64 now_ns, int how,
                                  __u32 reason) {
  if (how != GUARDED_DROP) reason = CORDON_REASON_underlay_observed;
  count_reason(reason, segments_of(skb), skb->len);
  struct happening seen = {
      .now_ns = now_ns, .suppressed = segments_of(skb) - 1, .kind = CORDON_EVENT_UNDERLAY, .reason = reason};
  emit(&p->tuple, &seen);
  return how == GUARDED_DROP ? VERDICT_DROP : VERDICT_ACCEPT;
}

/* WireGuard's handshake, by its messages' types and their one length (behind UDP's header): initiations in,
 * responses and cookies out. A peer that moves, behind a NAT say, begins one from where it is now; WireGuard
 * alone can tell whether it is a peer, and the daemon learns from it where the peer is. */
#define WIREGUARD_INITIATION 1
#define WIREGUARD_INITIATION_BYTES (8 + 148)
#define WIREGUARD_RESPONSE 2
#define WIREGUARD_RESPONSE_BYTES (8 + 92)
#define WIREGUARD_COOKIE 3
#define WIREGUARD_COOKIE_BYTES (8 + 64)

static __always_inline int is_handshake(struct __sk_buff* skb, const struct packet* p, int out) {
  __u32 type;
  if (p->fragmented || bpf_skb_load_bytes(skb, p->l4_offset + 8, &type, sizeof(type))) return 0;
  if (!out) return type == bpf_htonl(WIREGUARD_INITIATION << 24) && p->l4_bytes == WIREGUARD_INITIATION_BYTES;
  return (type == bpf_htonl(WIREGUARD_RESPONSE << 24) && p->l4_bytes == WIREGUARD_RESPONSE_BYTES) ||
         (type == bpf_htonl(WIREGUARD_COOKIE << 24) && p->l4_bytes == WIREGUARD_COOKIE_BYTES);
}

/* Is the other end one that an isolated host may talk to? Nobody else begins a TCP connection here. */
static __always_inline int is_end(struct __sk_buff* skb, const struct packet* p,
                                  const struct cordon_host* self, int out) {
  const struct tuple* t = &p->tuple;
  struct cordon_end end = {.address = out ? t->destination : t->source,
                           .port = out ? t->destination_port : t->source_port,
                           .protocol = t->protocol};
  __u16 ours = out ? t->source_port : t->destination_port;
  if (!p->has_l4) return 0;
  if (t->protocol == IPPROTO_TCP)
    return !(!out && is_bare_syn(p)) && bpf_map_lookup_elem(&underlay_ends, &end) != NULL;
  if (t->protocol != IPPROTO_UDP || !self->wireguard_port || ours != self->wireguard_port) return 0;
  return bpf_map_lookup_elem(&underlay_ends, &end) != NULL || is_handshake(skb, p, out);
}

static __always_inline int contain(struct __sk_buff* skb, struct packet* p, const struct cordon_host* self,
                                   __u64 now_ns, __u32 reason, __u8 hook) {
  int out = hook == HOOK_GUARD_OUT;
  /* Not IP: EAPOL opens ports. */
  int below_ip = reason == CORDON_REASON_not_ip && skb->protocol == bpf_htons(ETHERTYPE_EAPOL);
  if (reason == PASS_BELOW_IP || below_ip) return VERDICT_ACCEPT;
  p->tuple.direction = out ? CORDON_EGRESS : CORDON_INGRESS;
  if (reason) return refuse(skb, p, now_ns, GUARDED_DROP, reason);
  if (p->fragment_at)
    return join_fragment(p, now_ns, hook) ? refuse(skb, p, now_ns, GUARDED_DROP, CORDON_REASON_fragment)
                                          : VERDICT_ACCEPT;
  int passes = is_plumbing(p, out) || is_end(skb, p, self, out);
  if (p->fragmented) keep_fragment(p, now_ns, hook, passes);
  return passes ? VERDICT_ACCEPT : refuse(skb, p, now_ns, GUARDED_DROP, CORDON_REASON_host_isolated);
}

#endif
