#ifndef CORDON_EBPF_SEND_BPF_H
#define CORDON_EBPF_SEND_BPF_H
/* A datagram whose destination or source is named by the call (sendto, or sendmsg with IP_PKTINFO):
 * EADDRNOTAVAIL for an overlay address that isn't the caller's, EHOSTUNREACH where the filter would drop it.
 * What goes over a connected socket as it is was asked at connect(). */

#include "ebpf/ask.bpf.h"

static __always_inline int sending(struct bpf_sock_addr* ctx, struct tuple* tuple) {
  const struct cordon_host* self = host_of(ctx);
  if (!self) return HOOK_ALLOW;
  int named = !is_zero(&tuple->source);
  __u32 uid = caller_uid();
  __u32 reason = named ? check_address(self, uid, &tuple->source) : CORDON_REASON_none;
  if (ctx->sk) tuple->source_port = ctx->sk->src_port;
  if (reason) return refuse_address(tuple, reason);
  if (!is_by_overlay(self, &tuple->destination)) return HOOK_ALLOW;
  return ask(tuple, uid) ? refuse_call(ERRNO_EHOSTUNREACH) : HOOK_ALLOW;
}

static __always_inline int sending_v4(struct bpf_sock_addr* ctx) {
  struct tuple tuple = {};
  __be32 to = ctx->user_ip4;
  __be16 port = (__be16)ctx->user_port;
  /* Over a connected socket, where a control message names the source. */
  if (!to && ctx->sk) {
    to = ctx->sk->dst_ip4;
    port = ctx->sk->dst_port;
  }
  map_v4(&tuple.destination, to);
  if (ctx->msg_src_ip4) map_v4(&tuple.source, ctx->msg_src_ip4);
  fill_ports(ctx->protocol, port, &tuple);
  return sending(ctx, &tuple);
}

static __always_inline int sending_v6(struct bpf_sock_addr* ctx) {
  struct tuple tuple = {};
  __u32 to[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]};
  __u32 from[4] = {ctx->msg_src_ip6[0], ctx->msg_src_ip6[1], ctx->msg_src_ip6[2], ctx->msg_src_ip6[3]};
  __be16 port = (__be16)ctx->user_port;
  if (!(to[0] | to[1] | to[2] | to[3]) && ctx->sk) {
    for (int i = 0; i < 4; i++) to[i] = ctx->sk->dst_ip6[i];
    port = ctx->sk->dst_port;
  }
  __builtin_memcpy(&tuple.destination, to, sizeof(tuple.destination));
  __builtin_memcpy(&tuple.source, from, sizeof(tuple.source));
  fill_ports(ctx->protocol, port, &tuple);
  return sending(ctx, &tuple);
}

#endif
