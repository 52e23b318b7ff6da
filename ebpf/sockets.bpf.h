#ifndef CORDON_EBPF_SOCKETS_BPF_H
#define CORDON_EBPF_SOCKETS_BPF_H
/* The underlay guard at the sockets of a cgroup, whatever interface their packets take: for the moment until
 * a new interface has the guard, while the host is isolated and from its boot until the daemon runs. What
 * stands here in every network namespace of the machine; loopback is the first interface in each. */

#include "ebpf/underlay.bpf.h"

#define LOOPBACK_IFINDEX 1u
#define SOCKET_ACCEPT 1
#define SOCKET_DROP 0

/* As underlay_parse. Here packets begin with the IP header and may only be read by copying. */
__noinline int socket_parse(struct __sk_buff* skb, struct packet* p) {
  struct iphdr v4;
  struct ipv6hdr v6;
  if (!p || bpf_skb_load_bytes(skb, 0, &v4, sizeof(v4))) return CORDON_REASON_malformed;
  __u32 reason = CORDON_REASON_not_ip;
  if (v4.version == 4)
    reason = take_v4(skb, &v4, L2_NONE, p);
  else if (v4.version == 6)
    reason =
        bpf_skb_load_bytes(skb, 0, &v6, sizeof(v6)) ? CORDON_REASON_malformed : take_v6(skb, &v6, L2_NONE, p);
  if (!reason && p->is_v6) reason = walk_extensions(skb, p);
  return reason || p->fragment_at ? (int)reason : read_l4(skb, p);
}

/* The overlay's own packets are the verdict program's. */
static __always_inline int guard_socket(struct __sk_buff* skb, int out) {
  __u32 zero = 0, ifindex = skb->ifindex;
  struct packet p = {};
  struct cordon_host* self = bpf_map_lookup_elem(&host, &zero);
  if (!self || ifindex == LOOPBACK_IFINDEX || (ifindex && ifindex == self->overlay_ifindex))
    return SOCKET_ACCEPT;
  __u32 reason = socket_parse(skb, &p);
  __u64 now_ns = bpf_ktime_get_boot_ns();
  int result =
      out ? guard_outgoing(skb, &p, self, now_ns, reason) : guard_incoming(skb, &p, self, now_ns, reason);
  return result == VERDICT_ACCEPT ? SOCKET_ACCEPT : SOCKET_DROP;
}

#endif
