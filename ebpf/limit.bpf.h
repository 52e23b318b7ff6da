#ifndef CORDON_EBPF_LIMIT_BPF_H
#define CORDON_EBPF_LIMIT_BPF_H
/* How many events. Each CPU may send so many of a kind, whoever causes them, so that a flood of sources
 * doesn't make a flood of events; a source may send so many denials. A denial that isn't sent is counted for
 * its source and reason, or where there are too many sources for its reason alone: what is told of a reason
 * adds up to what was denied for it. What a target only observes is counted also by destination and port, as
 * policies are learnt from that. */

#include "ebpf/report.bpf.h"

#define CORDON_DENIALS_PER_SECOND 8 /* of one cordon_limit_key */
#define CORDON_BUCKET_SIZE 1024     /* of one kind on one CPU, each refill */
#define CORDON_REFILL_NS (CORDON_SECOND_NS / 8)

struct happening {
  __u64 now_ns, packets, bytes;
  __u64 suppressed; /* of a denial: the packets that it is besides the one (GSO), then those not sent before
                       it */
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

static __always_inline __u32 limits_of(const struct happening* what) {
  if (what->kind == CORDON_EVENT_UNDERLAY) return CORDON_LIMITS_UNDERLAY;
  return what->reason == CORDON_REASON_observed ? CORDON_LIMITS_OBSERVED : CORDON_LIMITS_OVERLAY;
}

static __always_inline struct cordon_limit* find_limit(const struct cordon_limit_key* key, __u32 table) {
  if (table == CORDON_LIMITS_UNDERLAY) return bpf_map_lookup_elem(&underlay_limits, key);
  if (table == CORDON_LIMITS_OBSERVED) return bpf_map_lookup_elem(&observed_limits, key);
  return bpf_map_lookup_elem(&overlay_limits, key);
}

static __always_inline long add_limit(const struct cordon_limit_key* key, const struct cordon_limit* first,
                                      __u32 table) {
  if (table == CORDON_LIMITS_UNDERLAY) return bpf_map_update_elem(&underlay_limits, key, first, BPF_NOEXIST);
  if (table == CORDON_LIMITS_OBSERVED) return bpf_map_update_elem(&observed_limits, key, first, BPF_NOEXIST);
  return bpf_map_update_elem(&overlay_limits, key, first, BPF_NOEXIST);
}

#define E2BIG 7

/* The row of a denial, which stays at least until this program has ended; NULL: there is no room. A table
 * that was found full isn't tried again before the sweep has made room: that costs more than all the rest. */
static __always_inline struct cordon_limit* limit_for(const struct tuple* tuple, const struct happening* what,
                                                      __u32 table) {
  __u32 zero = 0;
  struct cordon_round* now = bpf_map_lookup_elem(&limit_round, &zero);
  if (!now) return NULL;
  struct cordon_limit_key key = {
      .source = tuple->source, .reason = what->reason, .round = READ_ONCE(now->round) & 1};
  if (table == CORDON_LIMITS_OBSERVED) {
    key.destination = tuple->destination;
    key.port = tuple->grant_port;
    key.protocol = tuple->protocol;
  }
  struct cordon_limit* limit = find_limit(&key, table);
  if (limit || (READ_ONCE(now->full) & 1u << table)) return limit;
  struct cordon_limit first = {.window_start_ns = what->now_ns};
  if (add_limit(&key, &first, table) == -E2BIG) __sync_fetch_and_or(&now->full, 1u << table);
  return find_limit(&key, table); /* ours, or another CPU's */
}

/* Two CPUs may both take the last place of a second; what isn't sent is counted exactly. */
static __always_inline int may_send(struct cordon_limit* limit, __u32 table, __u64 now) {
  if (now - limit->window_start_ns >= CORDON_SECOND_NS) {
    limit->window_start_ns = now;
    limit->sent = 0;
  }
  __u32 bucket = table == CORDON_LIMITS_UNDERLAY ? CORDON_BUCKET_UNDERLAY : CORDON_BUCKET_DENIED;
  if (limit->sent >= CORDON_DENIALS_PER_SECOND || !take_token(bucket, now)) return 0;
  limit->sent++;
  return 1;
}

/* Counts denials that aren't sent, and keeps the last one: it stands for all when they are told. */
static __always_inline void suppress(struct cordon_limit* limit, const struct tuple* tuple,
                                     const struct happening* what, __u64 denials) {
  limit->destination = tuple->destination;
  limit->rule = what->rule;
  limit->source_port = tuple->source_port;
  limit->destination_port = tuple->destination_port;
  limit->protocol = tuple->protocol;
  limit->direction = tuple->direction;
  limit->kind = what->kind;
  __sync_fetch_and_add(&limit->suppressed, denials);
}

static __always_inline void count_other(__u8 direction, const struct happening* what, __u64 denials) {
  __u32 underlay = what->kind == CORDON_EVENT_UNDERLAY;
  __u32 at = (2 * underlay + (direction & 1)) * CORDON_REASON_COUNT + what->reason;
  __u64* others = bpf_map_lookup_elem(&other_denials, &at);
  if (others) __sync_fetch_and_add(others, denials);
}

#endif
