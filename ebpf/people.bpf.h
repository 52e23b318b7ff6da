#ifndef CORDON_EBPF_PEOPLE_BPF_H
#define CORDON_EBPF_PEOPLE_BPF_H
/* Who a uid of this host is (DATAPATH.md, "Session addresses on shared hosts"). */

#include "ebpf/maps.bpf.h"

/* Null: the uid is the device's. Root's always is, and asks no map. */
static __always_inline const struct cordon_person* person_of(__u32 uid) {
  struct cordon_person_key key = {.prefix_bits = 32, .uid = {uid >> 24, uid >> 16, uid >> 8, uid}};
  return uid ? bpf_map_lookup_elem(&people, &key) : NULL;
}

static __always_inline int is_zero(const struct cordon_address* address) {
  return !address->word[0] && !address->word[1];
}

static __always_inline int is_same(const struct cordon_address* a, const struct cordon_address* b) {
  return a->word[0] == b->word[0] && a->word[1] == b->word[1];
}

static __always_inline int has_session(const struct cordon_person* person) {
  return !is_zero(&person->v4) || !is_zero(&person->v6);
}

static __always_inline int is_within(const struct cordon_prefix* prefix,
                                     const struct cordon_address* address) {
  if (is_zero(&prefix->mask)) return 0;
  return (address->word[0] & prefix->mask.word[0]) == prefix->network.word[0] &&
         (address->word[1] & prefix->mask.word[1]) == prefix->network.word[1];
}

static __always_inline int is_overlays(const struct cordon_host* self, const struct cordon_address* address) {
  return is_within(&self->overlay_v4, address) || is_within(&self->overlay_v6, address);
}

#endif
