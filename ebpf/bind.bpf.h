#ifndef CORDON_EBPF_BIND_BPF_H
#define CORDON_EBPF_BIND_BPF_H
/* bind() to an overlay address that isn't the caller's: EADDRNOTAVAIL, as if it were not on this host. To
 * every address at once anybody may bind: what is sent has the sender's own. */

#include "ebpf/ask.bpf.h"

static __always_inline int binding(struct bpf_sock_addr* ctx, const struct cordon_address* address) {
  const struct cordon_host* self = host_of(ctx);
  if (!self || is_zero(address)) return HOOK_ALLOW;
  __u32 reason = check_address(self, caller_uid(), address);
  if (!reason) return HOOK_ALLOW;
  struct tuple tuple = {.source = *address};
  fill_ports(ctx->protocol, 0, &tuple);
  tuple.source_port = bpf_ntohs((__be16)ctx->user_port);
  return refuse_address(&tuple, reason);
}

static __always_inline int binding_v4(struct bpf_sock_addr* ctx) {
  struct cordon_address address;
  map_v4(&address, ctx->user_ip4);
  return binding(ctx, &address);
}

static __always_inline int binding_v6(struct bpf_sock_addr* ctx) {
  struct cordon_address address;
  __u32 words[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]};
  __builtin_memcpy(&address, words, sizeof(address));
  return binding(ctx, &address);
}

#endif
