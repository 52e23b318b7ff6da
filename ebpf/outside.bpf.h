#ifndef CORDON_EBPF_OUTSIDE_BPF_H
#define CORDON_EBPF_OUTSIDE_BPF_H
/* Overlay addresses on other interfaces (DATAPATH.md, "The underlay"): what comes or goes with them there has
 * passed neither WireGuard nor the verdict, and an application can't tell. In force in every mode, and from a
 * boot on. */

#include "ebpf/contain.bpf.h"

/* Does the state name it? Sources are principals, this host's own are always; destinations targets. */
__noinline int is_somebodys(const struct cordon_address* address) {
  __u32 zero = 0;
  struct cordon_settings* set = bpf_map_lookup_elem(&settings, &zero);
  if (!address || !set) return 0;
  __u64 flags = READ_ONCE(set->flags);
  read_barrier();
  if (principal_in(address, flags)) return 1;
  const struct cordon_target_side* target = target_in(address, flags);
  return target && target->id;
}

/* Is it an address of a session on this host? */
__noinline int is_own_session(const struct cordon_address* address) {
  __u32 zero = 0;
  struct cordon_settings* set = bpf_map_lookup_elem(&settings, &zero);
  if (!address || !set) return 0;
  __u64 flags = READ_ONCE(set->flags);
  read_barrier();
  const struct cordon_principal_side* principal = principal_in(address, flags);
  return principal && (principal->flags & CORDON_PRINCIPAL_CHECK_OWNER);
}

static __always_inline int is_device(const struct cordon_host* self, const struct cordon_address* address) {
  return is_same(&self->local_v4, address) || is_same(&self->local_v6, address);
}

/* Of the overlay: all of its prefix, unless the underlay has some of that too (a carrier's NAT is of
 * 100.64.0.0/10 as well). What a machine needs to have a network comes before anybody can know that. */
static __always_inline int is_of_overlay(const struct cordon_host* self, const struct packet* p, int out,
                                         const struct cordon_address* address) {
  if (likely(!is_overlays(self, address))) return 0;
  if (!(self->flags & CORDON_HOST_MEETS) && !is_plumbing(p, out)) return 1;
  return is_device(self, address) || is_somebodys(address);
}

/* To one of our own, or from anybody. What goes to others would be forwarded, to be judged there as what it
 * is (what stands behind a gateway answers so). */
static __always_inline int comes_around(const struct packet* p, const struct cordon_host* self) {
  const struct cordon_address* to = &p->tuple.destination;
  if (unlikely(is_overlays(self, to)) && (is_device(self, to) || is_own_session(to))) return 1;
  return is_of_overlay(self, p, 0, &p->tuple.source);
}

/* To anybody, or from one of ours; but what came by the overlay was judged there (a gateway forwards it). */
static __always_inline int goes_around(struct __sk_buff* skb, const struct packet* p,
                                       const struct cordon_host* self) {
  if (is_of_overlay(self, p, 1, &p->tuple.destination)) return 1;
  if (skb->ingress_ifindex && skb->ingress_ifindex == self->overlay_ifindex) return 0;
  return is_of_overlay(self, p, 1, &p->tuple.source);
}

#endif
