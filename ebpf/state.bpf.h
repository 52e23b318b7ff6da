#ifndef CORDON_EBPF_STATE_BPF_H
#define CORDON_EBPF_STATE_BPF_H
/* What a state says of an address (abi.h: a row has two sides). `flags` are the settings' of the moment that
 * the whole packet is judged by. */

#include "ebpf/maps.bpf.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

static __always_inline __u64 generation_of(__u64 flags) {
  return flags >> CORDON_SETTINGS_FLAG_BITS;
}

/* NULL: nobody. */
static __always_inline const struct cordon_principal_side* principal_in(const struct cordon_address* address,
                                                                        __u64 flags) {
  /* Copied: before Linux 6.2 a map's key can't be what a function's argument points to. */
  struct cordon_address key = *address;
  const struct cordon_principal* row = bpf_map_lookup_elem(&principals, &key);
  if (!row) return NULL;
  const struct cordon_principal_side* side = &row->now;
  if (unlikely(row->changed_in > generation_of(flags))) side = &row->before;
  return unlikely(side->flags & CORDON_PRINCIPAL_ABSENT) ? NULL : side;
}

/* The longest prefix that is there; NULL: none. Only while a state is written do rows stand in the way that
 * are absent, and no deeper than prefixes lie in each other. */
#define TARGET_DEPTH 8
static __always_inline const struct cordon_target_side* target_in(const struct cordon_address* address,
                                                                  __u64 flags) {
  struct cordon_target_key key = {.prefix_bits = 128};
  __builtin_memcpy(key.address, address, sizeof(key.address));
  for (int i = 0; i < TARGET_DEPTH; i++) {
    const struct cordon_target* row = bpf_map_lookup_elem(&targets, &key);
    if (!row) return NULL;
    const struct cordon_target_side* side = &row->now;
    if (unlikely(row->changed_in > generation_of(flags))) side = &row->before;
    if (likely(!(side->flags & CORDON_TARGET_ABSENT))) return side;
    if (!row->prefix_bits) return NULL;
    key.prefix_bits = row->prefix_bits - 1;
  }
  return NULL;
}

#endif
