#ifndef CORDON_EBPF_EVENT_BPF_H
#define CORDON_EBPF_EVENT_BPF_H
/* Events, and how many. Each CPU may send so many of a kind, whoever causes them, so that a flood of sources
 * doesn't make a flood of events; a source may send so many denials. A denial that isn't sent is counted for
 * its source and reason; what a target only observes also by destination and port, as policies are learnt
 * from that. */

#include "ebpf/report.bpf.h"

#define CORDON_DENIALS_PER_SECOND 8 /* of one cordon_limit_key */
#define CORDON_BUCKET_SIZE 1024     /* of one kind on one CPU, each refill */
#define CORDON_REFILL_NS (CORDON_SECOND_NS / 8)

struct happening {
  __u64 now_ns, packets, bytes, suppressed;
  __u32 rule;
  __u8 kind, reason, pad[2];
};

/* What comes between the look and the take may leave `left` below none: see count_reason. */
static __always_inline int take_token(__u32 which, __u64 now) {
  struct cordon_bucket* bucket = bpf_map_lookup_elem(&event_buckets, &which);
  if (!bucket) return 0;
  if (now - bucket->refilled_ns >= CORDON_REFILL_NS) {
    bucket->refilled_ns = now;
    bucket->left = CORDON_BUCKET_SIZE;
  }
  if ((__s64)READ_ONCE(bucket->left) <= 0) return 0;
  __sync_fetch_and_add(&bucket->left, -1);
  return 1;
}

/* Counts a denial that isn't sent, and keeps it: the last one stands for all when they are told. */
static __always_inline void suppress(struct cordon_limit* limit, const struct tuple* tuple,
                                     const struct happening* what) {
  __sync_fetch_and_add(&limit->suppressed, 1);
  limit->destination = tuple->destination;
  limit->rule = what->rule;
  limit->source_port = tuple->source_port;
  limit->destination_port = tuple->destination_port;
  limit->protocol = tuple->protocol;
  limit->direction = tuple->direction;
  limit->kind = what->kind;
}

static __always_inline void limit_key_of(const struct tuple* tuple, __u32 reason,
                                         struct cordon_limit_key* key) {
  key->source = tuple->source;
  key->reason = reason;
  if (reason != CORDON_REASON_observed) return;
  key->destination = tuple->destination;
  key->port = tuple->grant_port;
  key->protocol = tuple->protocol;
}

/* True when this denial may be sent; then what->suppressed is how many weren't before it. Two CPUs may both
 * take the last place of a second; what isn't sent is counted exactly. */
static __always_inline int denial_allowed(const struct tuple* tuple, struct happening* what) {
  struct cordon_limit_key key = {};
  limit_key_of(tuple, what->reason, &key);
  __u64 now = what->now_ns;
  struct cordon_limit* limit = bpf_map_lookup_elem(&event_limits, &key);
  if (!limit) {
    struct cordon_limit first = {.window_start_ns = now};
    int token = take_token(CORDON_BUCKET_DENIED, now);
    if (token)
      first.sent = 1;
    else
      suppress(&first, tuple, what);
    bpf_map_update_elem(&event_limits, &key, &first, BPF_ANY);
    return token;
  }
  if (now - limit->window_start_ns >= CORDON_SECOND_NS) {
    limit->window_start_ns = now;
    limit->sent = 0;
  }
  if (limit->sent >= CORDON_DENIALS_PER_SECOND || !take_token(CORDON_BUCKET_DENIED, now)) {
    suppress(limit, tuple, what);
    return 0;
  }
  limit->sent++;
  what->suppressed = __sync_lock_test_and_set(&limit->suppressed, 0);
  return 1;
}

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

/* Functions that are not static are verified once, by their types, and not again for each path that leads to
 * them. Their pointers may be null as far as the verifier knows; what they point to must be initialised,
 * padding included; they must return a number. */
__noinline int emit(const struct tuple* tuple, struct happening* what) {
  if (!tuple || !what) return 0;
  if (is_denial(what) && !denial_allowed(tuple, what))
    count_event(CORDON_EVENTS_SUPPRESSED, 1);
  else if (!send_event(tuple, what))
    count_event(CORDON_EVENTS_LOST, 1);
  return 0;
}

#endif
