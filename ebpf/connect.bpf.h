#ifndef CORDON_EBPF_CONNECT_BPF_H
#define CORDON_EBPF_CONNECT_BPF_H
/* connect(): EHOSTUNREACH to the overlay where the filter would drop the packets, and around it where an
 * isolated host's guard would. */

#include "ebpf/datagram.bpf.h"

static __always_inline int is_loopback(const struct cordon_address* address) {
  if (is_mapped(address)) {
    const __u8* v4 = (const __u8*)address + 12;
    return v4[0] == 127 || !(v4[0] | v4[1] | v4[2] | v4[3]); /* 0.0.0.0 is this host */
  }
  return !address->word[0] && (!address->word[1] || address->word[1] == bpf_cpu_to_be64(1));
}

/* What goes to this host's own addresses takes loopback, which nobody guards. Which those are isn't known
 * here; where nobody listens on the port there is nothing to connect to at any of them. */
static __always_inline int listens_here(struct bpf_sock_addr* ctx, const struct tuple* tuple) {
  struct bpf_sock_tuple wanted = {};
  __u32 size = sizeof(wanted.ipv6);
  if (is_mapped(&tuple->destination)) {
    size = sizeof(wanted.ipv4);
    __builtin_memcpy(&wanted.ipv4.daddr, (const __u8*)&tuple->destination + 12, sizeof(wanted.ipv4.daddr));
    wanted.ipv4.dport = bpf_htons(tuple->destination_port);
  } else {
    __builtin_memcpy(wanted.ipv6.daddr, &tuple->destination, sizeof(wanted.ipv6.daddr));
    wanted.ipv6.dport = bpf_htons(tuple->destination_port);
  }
  struct bpf_sock* listener = bpf_sk_lookup_tcp(ctx, &wanted, size, BPF_F_CURRENT_NETNS, 0);
  if (!listener) return 0;
  bpf_sk_release(listener);
  return 1;
}

/* Would the guard of an isolated host drop what this connection begins with? It drops the packet without a
 * word, which TCP would try again for minutes; a datagram's sender has EPERM at once. */
static __always_inline int is_contained(struct bpf_sock_addr* ctx, const struct cordon_host* self,
                                        const struct tuple* tuple) {
  if (self->underlay_mode != CORDON_UNDERLAY_CONTAINED || tuple->protocol != IPPROTO_TCP ||
      is_loopback(&tuple->destination))
    return 0;
  struct cordon_end end = {
      .address = tuple->destination, .port = tuple->destination_port, .protocol = IPPROTO_TCP};
  return !bpf_map_lookup_elem(&underlay_ends, &end) && !listens_here(ctx, tuple);
}

static __always_inline int refuse_around(struct tuple* tuple) {
  tuple->direction = CORDON_EGRESS;
  count_reason(CORDON_REASON_host_isolated, 1, 0);
  struct happening denied = {.now_ns = bpf_ktime_get_boot_ns(),
                             .kind = CORDON_EVENT_UNDERLAY,
                             .reason = CORDON_REASON_host_isolated};
  emit(tuple, &denied);
  return refuse_call(ERRNO_EHOSTUNREACH);
}

static __always_inline int connecting(struct bpf_sock_addr* ctx, struct tuple* tuple) {
  const struct cordon_host* self = host_of(ctx);
  if (!self) return HOOK_ALLOW;
  if (ctx->sk) tuple->source_port = ctx->sk->src_port;
  fill_ports(ctx->protocol, (__be16)ctx->user_port, tuple);
  if (!is_by_overlay(self, &tuple->destination))
    return is_contained(ctx, self, tuple) ? refuse_around(tuple) : HOOK_ALLOW;
  int refused =
      tuple->protocol == IPPROTO_UDP ? ask_datagrams(tuple, caller_uid()) : ask(tuple, caller_uid());
  return refused ? refuse_call(ERRNO_EHOSTUNREACH) : HOOK_ALLOW;
}

static __always_inline int connecting_v4(struct bpf_sock_addr* ctx) {
  struct tuple tuple = {};
  map_v4(&tuple.destination, ctx->user_ip4);
  if (ctx->sk && ctx->sk->src_ip4) map_v4(&tuple.source, ctx->sk->src_ip4);
  return connecting(ctx, &tuple);
}

static __always_inline int connecting_v6(struct bpf_sock_addr* ctx) {
  struct tuple tuple = {};
  __u32 words[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]};
  __builtin_memcpy(&tuple.destination, words, sizeof(tuple.destination));
  if (ctx->sk) {
    __u32 bound[4] = {ctx->sk->src_ip6[0], ctx->sk->src_ip6[1], ctx->sk->src_ip6[2], ctx->sk->src_ip6[3]};
    __builtin_memcpy(&tuple.source, bound, sizeof(tuple.source));
  }
  return connecting(ctx, &tuple);
}

#endif
