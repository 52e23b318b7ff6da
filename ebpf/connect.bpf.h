#ifndef CORDON_EBPF_CONNECT_BPF_H
#define CORDON_EBPF_CONNECT_BPF_H
/* connect() to the overlay: EHOSTUNREACH where the filter would drop the packets. */

#include "ebpf/ask.bpf.h"

static __always_inline int connecting(struct bpf_sock_addr* ctx, struct tuple* tuple) {
  if (!host_of(ctx) || !in_overlay(&tuple->destination)) return HOOK_ALLOW;
  if (ctx->sk) tuple->source_port = ctx->sk->src_port;
  fill_ports(ctx->protocol, (__be16)ctx->user_port, tuple);
  return ask(tuple, caller_uid()) ? refuse_call(ERRNO_EHOSTUNREACH) : HOOK_ALLOW;
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
