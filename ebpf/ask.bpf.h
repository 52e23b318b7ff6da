#ifndef CORDON_EBPF_ASK_BPF_H
#define CORDON_EBPF_ASK_BPF_H
/* What the cgroup hooks share: they tell a local program at once what the filter would drop (DATAPATH.md,
 * "Denied is told, not hung"). The filter stays the authority: what they don't know, they let through. */

#include "ebpf/decide.bpf.h"
#include "ebpf/flow.bpf.h"
#include "ebpf/gateway.bpf.h"

#define HOOK_ALLOW 1
#define HOOK_REFUSE 0
#define PROTOCOL_MPTCP 262 /* its packets are TCP */
#define ERRNO_EADDRNOTAVAIL 99
#define ERRNO_EHOSTUNREACH 113

/* This machine, when the socket is of its own network namespace: a container's has nothing to do with it. */
static __always_inline const struct cordon_host* host_of(struct bpf_sock_addr* ctx) {
  __u32 zero = 0;
  const struct cordon_host* self = bpf_map_lookup_elem(&host, &zero);
  if (!self || !self->netns_cookie || bpf_get_netns_cookie(ctx) != self->netns_cookie) return NULL;
  return self;
}

static __always_inline void fill_ports(__u32 protocol, __be16 port, struct tuple* tuple) {
  if (protocol == PROTOCOL_MPTCP) protocol = IPPROTO_TCP;
  tuple->protocol = protocol;
  if (protocol == IPPROTO_ICMP)
    tuple->grant_port = ICMP_ECHO_REQUEST; /* the only thing that a ping socket can ask */
  else if (protocol == PROTOCOL_ICMPV6)
    tuple->grant_port = ICMPV6_ECHO_REQUEST;
  else if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == PROTOCOL_SCTP)
    tuple->grant_port = bpf_ntohs(port);
  tuple->destination_port = tuple->grant_port;
}

/* The one overlay address of a family that a uid may send from; zero: none. */
static __always_inline struct cordon_address own_address(const struct cordon_host* self,
                                                         const struct cordon_person* person, int is_v6) {
  if (person) return is_v6 ? person->v6 : person->v4;
  return is_v6 ? self->local_v6 : self->local_v4;
}

/* May this uid use `address` as its own? The reason why not, or none. */
static __always_inline __u32 check_address(const struct cordon_host* self, __u32 uid,
                                           const struct cordon_address* address) {
  const struct cordon_person* person = person_of(uid);
  struct cordon_address own = own_address(self, person, !is_mapped(address));
  if (is_same(&own, address) || !is_overlays(self, address)) return CORDON_REASON_none;
  return person && !has_session(person) ? CORDON_REASON_no_session : CORDON_REASON_wrong_owner;
}

/* Fills a source that the kernel is to choose: by the routing rule of the uid. */
static __always_inline __u32 fill_source(const struct cordon_host* self, __u32 uid, struct tuple* tuple) {
  if (!is_zero(&tuple->source)) return check_address(self, uid, &tuple->source);
  const struct cordon_person* person = person_of(uid);
  int is_v6 = !is_mapped(&tuple->destination);
  tuple->source = own_address(self, person, is_v6);
  if (!person || !is_zero(&tuple->source)) return CORDON_REASON_none;
  tuple->source = own_address(self, NULL, is_v6); /* for the report: it happened on this device */
  return CORDON_REASON_no_session;
}

/* A datagram of a known flow may answer one who may not be asked: a session's address is no target. */
static __always_inline int is_of_flow(const struct tuple* tuple) {
  struct cordon_flow_key key;
  int source_high = flow_key_of(tuple, &key);
  struct cordon_flow* flow = bpf_map_lookup_elem(&flows, &key);
  return flow && at_right_hook(flow, source_high, CORDON_EGRESS);
}

static __always_inline int refuse_call(int number) {
  bpf_set_retval(-number);
  return HOOK_REFUSE;
}

/* Would the filter drop what this process is about to send? Why, or none. Destination, protocol and ports are
 * filled, the source when the socket or the call names one. */
__noinline int look_ahead(struct tuple* tuple, __u32 uid, struct answer* answer) {
  struct view view = {};
  __u32 zero = 0;
  if (!tuple || !answer) return 0;
  const struct cordon_host* self = bpf_map_lookup_elem(&host, &zero);
  if (!self) return 0;
  look(&view, bpf_ktime_get_boot_ns());
  tuple->direction = CORDON_EGRESS;
  answer->reason = fill_source(self, uid, tuple);
  if (!answer->reason && is_of_flow(tuple)) return 0;
  if (!answer->reason) answer->reason = view.reason;
  if (!answer->reason) {
    decide(tuple, &view, answer);
    if (!answer->reason && answer->check_owner && uid != answer->uid)
      answer->reason = CORDON_REASON_wrong_owner;
  }
  return answer->reason;
}

static __always_inline void tell_refusal(const struct tuple* tuple, const struct answer* answer) {
  count_reason(answer->reason, 1, 0);
  struct happening denied = {.now_ns = bpf_ktime_get_boot_ns(),
                             .rule = answer->rule,
                             .kind = CORDON_EVENT_DENIED,
                             .reason = answer->reason};
  emit(tuple, &denied);
}

/* An address that isn't the caller's. */
static __always_inline int refuse_address(struct tuple* tuple, __u32 reason) {
  struct answer answer = {.reason = reason};
  tuple->direction = CORDON_EGRESS;
  tell_refusal(tuple, &answer);
  return refuse_call(ERRNO_EADDRNOTAVAIL);
}

/* What is asked is a beginning: if it would be dropped, that is told here, as no packet will be. */
__noinline int ask(struct tuple* tuple, __u32 uid) {
  struct answer answer = {};
  if (!tuple || !look_ahead(tuple, uid, &answer)) return 0;
  tell_refusal(tuple, &answer);
  return answer.reason;
}

/* Of the kernel's types what is read, found by name in its BTF. */
struct cred {
  struct {
    __u32 val;
  } fsuid;
} __attribute__((preserve_access_index));
struct task_struct {
  const struct cred* cred;
} __attribute__((preserve_access_index));

/* The uid that a socket gets which the caller makes now (sock_alloc() in the kernel), and by which routing
 * and the filter know it: a setuid program's is its owner's, not the caller's. */
static __always_inline __u32 caller_uid(void) {
  struct task_struct* task = bpf_get_current_task_btf();
  return task->cred->fsuid.val;
}

#endif
