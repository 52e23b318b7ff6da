#ifndef CORDON_EBPF_CONNECT_BPF_H
#define CORDON_EBPF_CONNECT_BPF_H
/* Tells a local program at connect() what the filter would drop (DATAPATH.md, "Denied is told, not hung").
 * The filter stays the authority: what this hook doesn't know, it lets through. */

#include "ebpf/decide.bpf.h"
#include "ebpf/parse.bpf.h"

#define HOOK_ALLOW 1
#define HOOK_REFUSE 0
#define PROTOCOL_MPTCP 262 /* its packets are TCP */
#define ERRNO_EHOSTUNREACH 113

static __always_inline int in_overlay(const struct cordon_address* address) {
  struct cordon_target_key key = {.prefix_bits = 128};
  __builtin_memcpy(key.address, address, sizeof(key.address));
  return bpf_map_lookup_elem(&targets, &key) != NULL;
}

static __always_inline void fill_ports(struct bpf_sock_addr* ctx, struct tuple* tuple) {
  __u32 protocol = ctx->protocol == PROTOCOL_MPTCP ? IPPROTO_TCP : ctx->protocol;
  tuple->protocol = protocol;
  if (protocol == IPPROTO_ICMP)
    tuple->grant_port = ICMP_ECHO_REQUEST; /* the only thing that a ping socket can ask */
  else if (protocol == PROTOCOL_ICMPV6)
    tuple->grant_port = ICMPV6_ECHO_REQUEST;
  else if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == PROTOCOL_SCTP)
    tuple->grant_port = bpf_ntohs((__u16)ctx->user_port);
  tuple->destination_port = tuple->grant_port;
}

static __always_inline int is_zero(const struct cordon_address* address) {
  return !address->word[0] && !address->word[1];
}

static __always_inline int connecting(struct bpf_sock_addr* ctx, struct tuple* tuple, int is_v6) {
  __u32 zero = 0;
  struct cordon_host* self = bpf_map_lookup_elem(&host, &zero);
  if (!self || !self->netns_cookie || bpf_get_netns_cookie(ctx) != self->netns_cookie) return HOOK_ALLOW;
  if (!in_overlay(&tuple->destination)) return HOOK_ALLOW;
  struct view view = {};
  struct answer answer = {};
  look(&view, bpf_ktime_get_boot_ns());
  tuple->direction = CORDON_EGRESS;
  tuple->source = is_v6 ? self->local_v6 : self->local_v4;
  fill_ports(ctx, tuple);
  answer.reason = view.reason;
  if (!answer.reason) {
    decide(tuple, &view, &answer);
    if (!answer.reason && answer.check_owner && (__u32)bpf_get_current_uid_gid() != answer.uid)
      answer.reason = CORDON_REASON_wrong_owner;
  }
  if (!answer.reason) return HOOK_ALLOW;
  count_reason(answer.reason, 1, 0);
  struct happening denied = {
      .now_ns = view.now_ns, .rule = answer.rule, .kind = CORDON_EVENT_DENIED, .reason = answer.reason};
  emit(tuple, &denied);
  bpf_set_retval(-ERRNO_EHOSTUNREACH);
  return HOOK_REFUSE;
}

static __always_inline int connecting_v4(struct bpf_sock_addr* ctx) {
  struct tuple tuple = {};
  map_v4(&tuple.destination, ctx->user_ip4);
  return connecting(ctx, &tuple, 0);
}

static __always_inline int connecting_v6(struct bpf_sock_addr* ctx) {
  struct tuple tuple = {};
  __u32 words[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]};
  __builtin_memcpy(&tuple.destination, words, sizeof(tuple.destination));
  return connecting(ctx, &tuple, !is_mapped(&tuple.destination));
}

#endif
