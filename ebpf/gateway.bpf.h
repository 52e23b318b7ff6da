#ifndef CORDON_EBPF_GATEWAY_BPF_H
#define CORDON_EBPF_GATEWAY_BPF_H
/* Subnets behind gateways (docs/DATAPATH.md, "Gateways"): targets whose addresses are not the overlay's. */

#include "ebpf/decide.bpf.h"
#include "ebpf/people.bpf.h"

/* CORDON_SUBNET_*; 0: none that this host knows. */
static __always_inline __u32 subnet_of(const struct cordon_address* address) {
  struct cordon_target_key key = {.prefix_bits = 128};
  __builtin_memcpy(key.address, address, sizeof(key.address));
  const __u32* subnet = bpf_map_lookup_elem(&subnets, &key);
  return subnet ? *subnet : 0;
}

/* Does the way to that address lead into the overlay? */
static __always_inline int is_by_overlay(const struct cordon_host* self,
                                         const struct cordon_address* address) {
  return is_overlays(self, address) || subnet_of(address) == CORDON_SUBNET_ROUTED;
}

/* What comes in for an address outside the overlay would be forwarded: that is for a declared gateway, for
 * what is behind it, and never while it is isolated. `tuple`: the flow as it began. */
static __always_inline __u32 check_gateway(const struct tuple* tuple, const struct view* view) {
  __u32 zero = 0;
  if (tuple->direction != CORDON_INGRESS) return CORDON_REASON_none;
  const struct cordon_host* self = bpf_map_lookup_elem(&host, &zero);
  if (self && likely(is_overlays(self, &tuple->destination))) return CORDON_REASON_none;
  if (subnet_of(&tuple->destination) != CORDON_SUBNET_BEHIND) return CORDON_REASON_unknown_target;
  return view->flags & CORDON_SETTINGS_ISOLATED ? CORDON_REASON_host_isolated : CORDON_REASON_none;
}

#endif
