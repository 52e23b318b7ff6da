/* cordon.bpf.c for tests of races. Before each of its calls on a map, and at each CORDON_STEP, another CPU
 * may come between: the program does itself, there, what that CPU would have done. So a race is a matter of
 * counting steps, and a test goes through them all. */

#include "tests/bpf/interleave.h"
#include "ebpf/maps.bpf.h"

CORDON_MAP(BPF_MAP_TYPE_ARRAY, interleave_plan, __u32, struct interleave_plan, 1, 0);
CORDON_MAP(BPF_MAP_TYPE_ARRAY, interleave_writes, __u32, struct interleave_write, INTERLEAVE_WRITES, 0);

static __always_inline void put(void* row, const struct interleave_write* write, __u32 bytes) {
  if (!row) return;
  for (__u32 i = 0; i < bytes / 8; i++) ((volatile __u64*)row)[i] = ((const __u64*)write->value)[i];
}

static __always_inline void count(struct interleave_write* write) {
  __u32 zero = 0;
  struct cordon_round* now = bpf_map_lookup_elem(&limit_round, &zero);
  struct cordon_limit_key* key = (struct cordon_limit_key*)write->key;
  const struct cordon_limit* more = (const struct cordon_limit*)write->value;
  if (!now) return;
  key->round = now->round & 1;
  struct cordon_limit* limit = bpf_map_lookup_elem(&overlay_limits, key);
  if (limit)
    __sync_fetch_and_add(&limit->suppressed, more->suppressed);
  else
    bpf_map_update_elem(&overlay_limits, key, more, BPF_NOEXIST);
}

#define WRITE_TO(map)                                                      \
  (write->how == INTERLEAVE_REMOVE ? bpf_map_delete_elem(&map, write->key) \
                                   : bpf_map_update_elem(&map, write->key, write->value, BPF_ANY))

static __always_inline void write_hash(struct interleave_write* write) {
  int in_place = write->how == INTERLEAVE_IN_PLACE;
  if (write->table == INTERLEAVE_SETTINGS)
    put(bpf_map_lookup_elem(&settings, write->key), write, sizeof(struct cordon_settings));
  else if (write->table == INTERLEAVE_PRINCIPALS)
    WRITE_TO(principals);
  else if (write->table == INTERLEAVE_GRANTS)
    WRITE_TO(grants);
  else if (write->table == INTERLEAVE_OVERLAY_LIMITS)
    count(write);
  else if (write->table == INTERLEAVE_FLOWS && in_place)
    put(bpf_map_lookup_elem(&flows, write->key), write, sizeof(struct cordon_flow));
  else if (write->table == INTERLEAVE_FLOWS)
    WRITE_TO(flows);
}

static __always_inline void write_trie(struct interleave_write* write) {
  if (write->table == INTERLEAVE_TARGETS)
    WRITE_TO(targets);
  else if (write->table == INTERLEAVE_GRANT_RANGES)
    WRITE_TO(grant_ranges);
}

static __always_inline void step(int tries) {
  __u32 zero = 0;
  struct interleave_plan* plan = bpf_map_lookup_elem(&interleave_plan, &zero);
  if (!plan || !plan->writes || plan->steps--) return;
  __u32 writes = plan->writes;
  plan->writes = 0;
  for (__u32 i = 0; i < INTERLEAVE_WRITES && i < writes; i++) {
    __u32 at = i;
    struct interleave_write* write = bpf_map_lookup_elem(&interleave_writes, &at);
    if (!write) return;
    write_hash(write);
    if (tries) write_trie(write);
  }
}

__noinline int interleave_step(void) {
  step(1);
  return 0;
}

/* The sweep may sleep, so it may have no tries. */
__noinline int interleave_sweep_step(void) {
  step(0);
  return 0;
}

#define bpf_map_lookup_elem(map, key)    \
  ({                                     \
    CORDON_STEP();                       \
    (bpf_map_lookup_elem)((map), (key)); \
  })
#define bpf_map_update_elem(map, key, value, flags)        \
  ({                                                       \
    CORDON_STEP();                                         \
    (bpf_map_update_elem)((map), (key), (value), (flags)); \
  })
#define bpf_map_delete_elem(map, key)    \
  ({                                     \
    CORDON_STEP();                       \
    (bpf_map_delete_elem)((map), (key)); \
  })

#define CORDON_STEP() ((void)interleave_step())
#include "ebpf/budget.bpf.h"
#undef CORDON_STEP
#define CORDON_STEP() ((void)interleave_sweep_step())
#include "ebpf/sweep.bpf.h"
#undef CORDON_STEP
#define CORDON_STEP() ((void)interleave_step())
#include "ebpf/cordon.bpf.c"
