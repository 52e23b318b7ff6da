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

__noinline int underlay_parse(struct __sk_buff* skb, struct packet* p, __u32 l2) {
  if (!p) return CORDON_REASON_malformed;
  __u32 reason = l2 == L2_ETHERNET ? parse_l3(skb, L2_ETHERNET, p) : parse_l3(skb, L2_NONE, p);
  return reason ? reason : parse_behind_ip(skb, p);
}

static __always_inline int refuse(struct __sk_buff* skb, struct packet* p, int how, __u32 reason) {
  if (how != GUARDED_DROP) reason = CORDON_REASON_underlay_observed;
  count_reason(reason, segments_of(skb), skb->len);
  struct happening seen = {.now_ns = cached_boot_ns(), .kind = CORDON_EVENT_UNDERLAY, .reason = reason};
  emit(&p->tuple, &seen);
  return how == GUARDED_DROP ? VERDICT_DROP : VERDICT_ACCEPT;
}

/* Not IP: ports are opened by EAPOL; what is in a VLAN is judged at the VLAN's own interface. */
static __always_inline int passes_below_ip(struct __sk_buff* skb) {
  __u16 type = bpf_ntohs((__u16)skb->protocol);
  return type == ETHERTYPE_EAPOL || type == ETHERTYPE_VLAN || type == ETHERTYPE_QINQ;
}

/* Is the other end one that an isolated host may talk to? Nobody else begins a TCP connection here. */
static __always_inline int is_end(const struct packet* p, const struct cordon_host* self, int out) {
  const struct tuple* t = &p->tuple;
  struct cordon_end end = {.address = out ? t->destination : t->source,
                           .port = out ? t->destination_port : t->source_port,
                           .protocol = t->protocol};
  __u16 ours = out ? t->source_port : t->destination_port;
  if (!p->has_l4) return 0;
  if (t->protocol == IPPROTO_TCP)
    return !(!out && is_bare_syn(p)) && bpf_map_lookup_elem(&underlay_ends, &end) != NULL;
  if (t->protocol != IPPROTO_UDP || !self->wireguard_port || ours != self->wireguard_port) return 0;
  return !self->peers_known || bpf_map_lookup_elem(&underlay_ends, &end) != NULL;
}

static __always_inline int contain(struct __sk_buff* skb, struct packet* p, const struct cordon_host* self,
                                   __u32 reason, __u8 hook) {
  int out = hook == HOOK_GUARD_OUT;
  __u64 now_ns = cached_boot_ns();
  if (reason == PASS_BELOW_IP || (reason == CORDON_REASON_not_ip && passes_below_ip(skb)))
    return VERDICT_ACCEPT;
  p->tuple.direction = out ? CORDON_EGRESS : CORDON_INGRESS;
  if (reason) return refuse(skb, p, GUARDED_DROP, reason);
  if (p->fragment_at)
    return join_fragment(p, now_ns, hook) ? refuse(skb, p, GUARDED_DROP, CORDON_REASON_fragment)
                                          : VERDICT_ACCEPT;
  int passes = is_plumbing(p, out) || is_end(p, self, out);
  if (p->fragmented) keep_fragment(p, now_ns, hook, passes);
  return passes ? VERDICT_ACCEPT : refuse(skb, p, GUARDED_DROP, CORDON_REASON_host_isolated);
}

#endif
