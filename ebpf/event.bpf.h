#ifndef CORDON_EBPF_EVENT_BPF_H
#define CORDON_EBPF_EVENT_BPF_H
/* Events, and how many: openings and ends as long as there is room, denials as limit.bpf.h has it. */

#include "ebpf/limit.bpf.h"

static __always_inline int send_event(const struct tuple* tuple, const struct happening* what) {
  struct cordon_event* event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
  if (!event) return 0;
  *event = (struct cordon_event){
      .at_ns = what->now_ns,
      .source = tuple->source,
      .destination = tuple->destination,
      .packets = what->packets,
      .bytes = what->bytes,
      .suppressed = what->suppressed,
      .rule = what->rule,
      .source_port = tuple->source_port,
      .destination_port = tuple->destination_port,
      .protocol = tuple->protocol,
      .direction = tuple->direction,
      .kind = what->kind,
      .reason = what->reason,
  };
  bpf_ringbuf_submit(event, 0);
  return 1;
}

/* Asked before an opening is made an event of; a closing may always be told, as it is told once. */
static __always_inline int opening_allowed(__u64 now) {
  if (take_token(CORDON_BUCKET_OPENED, now)) return 1;
  count_event(CORDON_EVENTS_SUPPRESSED, 1);
  return 0;
}

static __always_inline int is_denial(const struct happening* what) {
  return what->kind == CORDON_EVENT_DENIED || what->kind == CORDON_EVENT_UNDERLAY;
}

/* One denial more: it is sent, with those before it that weren't, or counted for the next. What the ring has
 * no room for is counted too. */
static __always_inline void deny(const struct tuple* tuple, struct happening* what) {
  __u64 denials = what->suppressed + 1;
  __u32 table = limits_of(what);
  struct cordon_limit* limit = limit_for(tuple, what, table);
  if (limit && may_send(limit, table, what->now_ns)) {
    __u64 before = __sync_lock_test_and_set(&limit->suppressed, 0);
    what->suppressed += before;
    if (send_event(tuple, what)) return;
    denials += before;
  }
  count_event(CORDON_EVENTS_SUPPRESSED, 1);
  if (limit)
    suppress(limit, tuple, what, denials);
  else
    count_other(tuple->direction, what, denials);
}

/* Functions that are not static are verified once, by their types, and not again for each path that leads to
 * them. Their pointers may be null as far as the verifier knows; what they point to must be initialised,
 * padding included; they must return a number. */
__noinline int emit(const struct tuple* tuple, struct happening* what) {
  if (!tuple || !what) return 0;
  if (is_denial(what))
    deny(tuple, what);
  else if (!send_event(tuple, what))
    count_event(CORDON_EVENTS_LOST, 1);
  return 0;
}

#endif
