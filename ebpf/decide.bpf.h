#ifndef CORDON_EBPF_DECIDE_BPF_H
#define CORDON_EBPF_DECIDE_BPF_H
/* Steps 4 to 6 of DATAPATH.md's order of decision: principal, target, grant. No packet, no flow, no side
 * effect: the verdict programs and the connect hook ask the same question. */

#include "ebpf/event.bpf.h"
#include "ebpf/state.bpf.h"

/* What stands for the whole of one packet's decision: read once, first the epoch. */
struct view {
  __u64 now_ns;
  __u64 confirmed_ns;
  __u64 node_lease_end_ns;
  __u64 flags; /* of settings, with the generation */
  __u32 epoch;
  __u32 reason; /* none, or why nothing can be accepted at all */
  __u32 cut;    /* why the packet's flow no longer holds */
  __u32 pad;
};

struct answer {
  __u64 deadline_ns;
  __u32 rule;
  __u32 reason; /* none: accept */
  __u32 uid;    /* of the principal, when check_owner */
  __u8 check_owner;
  __u8 observed;
  __u8 pad[2];
};

static __always_inline void take_settings(struct view* view, const struct cordon_settings* set) {
  view->flags = READ_ONCE(set->flags);
  view->confirmed_ns = READ_ONCE(set->confirmed_ns);
  view->node_lease_end_ns = view->confirmed_ns + READ_ONCE(set->node_lease_ns);
  view->reason = CORDON_REASON_none;
  if (!(view->flags & CORDON_SETTINGS_READY))
    view->reason = CORDON_REASON_no_state;
  else if (!view->confirmed_ns || view->now_ns >= view->node_lease_end_ns)
    view->reason = CORDON_REASON_node_lease_over;
}

static __always_inline void look(struct view* view, __u64 now_ns) {
  __u32 zero = 0;
  struct cordon_settings* set = bpf_map_lookup_elem(&settings, &zero);
  view->now_ns = now_ns;
  if (!set) {
    view->reason = CORDON_REASON_no_state;
    return;
  }
  /* Before any other map is read: a write that takes something away is followed by a new epoch, so what this
   * packet may still see of the old state is stamped with the old epoch and decided again. */
  view->epoch = READ_ONCE(set->epoch);
  take_settings(view, set);
}

/* Has the state turned since the view was taken? Then the view is of the new one, but for the epoch: what is
 * stamped with the old one is decided again. */
static __always_inline int turned(struct view* view) {
  __u32 zero = 0;
  struct cordon_settings* set = bpf_map_lookup_elem(&settings, &zero);
  if (!set || likely(READ_ONCE(set->flags) == view->flags)) return 0;
  take_settings(view, set);
  return 1;
}

/* Does this entry settle the search? Then the answer holds rule and deadline, or reason `forbidden` or `grant
 * expired`: the most specific entry is what the policy says of its ports, whole. One that isolation passes
 * over leaves in answer->reason why, for the case that nothing wider does either. */
static __always_inline int settles(const struct cordon_grant* grant,
                                   const struct cordon_principal_side* principal, const struct view* view,
                                   struct answer* answer) {
  if (grant->flags & CORDON_GRANT_DENY) {
    answer->reason = CORDON_REASON_forbidden;
    answer->rule = grant->rule;
    return 1;
  }
  if ((view->flags & CORDON_SETTINGS_ISOLATED) && !(grant->flags & CORDON_GRANT_RESPONDER)) {
    answer->reason = CORDON_REASON_host_isolated;
    return 0;
  }
  __u64 deadline = view->confirmed_ns + grant->lease_s * CORDON_SECOND_NS;
  __u64 slot = principal->deadline_ns[grant->slot & (CORDON_DEADLINE_SLOTS - 1)];
  if (slot < deadline) deadline = slot;
  /* Not searched on: a wider entry doesn't know what ended this one. A forbid that began cuts it out of the
   * wider one too. */
  if (view->now_ns >= deadline) {
    answer->reason = CORDON_REASON_grant_expired;
    answer->rule = 0;
    return 1;
  }
  answer->deadline_ns = deadline;
  answer->rule = grant->rule;
  answer->reason = CORDON_REASON_none;
  return 1;
}

static __always_inline int in_ranges(const struct tuple* tuple, __u32 target,
                                     const struct cordon_principal_side* principal, const struct view* view,
                                     struct answer* answer) {
  struct cordon_range_key key = {
      .prefix_bits = CORDON_RANGE_FIXED_BITS + 16,
      .direction = tuple->direction,
      .protocol = tuple->protocol,
      .port = {tuple->grant_port >> 8, tuple->grant_port & 255},
  };
  __builtin_memcpy(key.class_id, &principal->class_id, sizeof(key.class_id));
  __builtin_memcpy(key.target, &target, sizeof(key.target));
  struct cordon_grant* grant = bpf_map_lookup_elem(&grant_ranges, &key);
  return grant && settles(grant, principal, view, answer);
}

static __always_inline int in_grants(struct cordon_grant_key* key,
                                     const struct cordon_principal_side* principal, const struct view* view,
                                     struct answer* answer) {
  struct cordon_grant* grant = bpf_map_lookup_elem(&grants, key);
  return grant && settles(grant, principal, view, answer);
}

static __always_inline int search(const struct tuple* tuple, __u32 target,
                                  const struct cordon_principal_side* principal, const struct view* view,
                                  struct answer* answer) {
  struct cordon_grant_key key = {
      .class_id = principal->class_id,
      .target = target,
      .port = tuple->grant_port,
      .protocol = tuple->protocol,
      .form_direction = CORDON_FORM_EXACT | tuple->direction,
  };
  if (in_grants(&key, principal, view, answer)) return 1;
  if (in_ranges(tuple, target, principal, view, answer)) return 1;
  key.port = 0;
  key.form_direction = CORDON_FORM_ANY_PORT | tuple->direction;
  if (in_grants(&key, principal, view, answer)) return 1;
  key.protocol = 0;
  key.form_direction = CORDON_FORM_ANY_PROTOCOL | tuple->direction;
  return in_grants(&key, principal, view, answer);
}

/* A principal whose every slot has passed holds nothing and may hold nothing. */
static __always_inline int is_over(const struct cordon_principal_side* principal, __u64 now_ns) {
  for (int i = 0; i < CORDON_DEADLINE_SLOTS; i++)
    if (principal->deadline_ns[i] > now_ns) return 0;
  return 1;
}

static __always_inline __u32 check_principal(const struct cordon_principal_side* principal, __u64 now_ns) {
  if (!principal) return CORDON_REASON_unknown_principal;
  if (is_over(principal, now_ns)) return CORDON_REASON_principal_expired;
  if (principal->flags & CORDON_PRINCIPAL_ISOLATED) return CORDON_REASON_principal_isolated;
  return CORDON_REASON_none;
}

/* Steps 4 to 6 in the state that the view is of. */
static __always_inline void decide_in(const struct tuple* tuple, const struct view* view,
                                      struct answer* answer) {
  __builtin_memset(answer, 0, sizeof(*answer));
  const struct cordon_principal_side* principal = principal_in(&tuple->source, view->flags);
  answer->reason = check_principal(principal, view->now_ns);
  if (answer->reason || !principal) return;
  answer->uid = principal->uid;
  answer->check_owner = (principal->flags & CORDON_PRINCIPAL_CHECK_OWNER) != 0;

  const struct cordon_target_side* target = target_in(&tuple->destination, view->flags);
  if (!target || !target->id) {
    answer->reason = CORDON_REASON_unknown_target;
    return;
  }
  answer->reason = CORDON_REASON_no_grant;
  if (search(tuple, target->id, principal, view, answer)) {
    if (answer->reason != CORDON_REASON_forbidden) return; /* accepted, or expired: not only observed */
  } else {
    answer->rule = 0;
  }
  __u32 reason = answer->reason;
  if ((target->flags & CORDON_TARGET_OBSERVE) &&
      (reason == CORDON_REASON_no_grant || reason == CORDON_REASON_forbidden)) {
    answer->observed = 1;
    answer->reason = CORDON_REASON_none;
    answer->deadline_ns = view->node_lease_end_ns;
  }
}

/* Decides a tuple as a new flow, wholly by one state: what is removed or written anew once the state has
 * turned would make a mixture of two of what is read meanwhile. */
#define DECIDE_TRIES 3
__noinline int decide(const struct tuple* tuple, struct view* view, struct answer* answer) {
  if (!tuple || !view || !answer) return 0;
  for (int i = 0; i < DECIDE_TRIES; i++) {
    read_barrier(); /* epoch and generation before the rows */
    decide_in(tuple, view, answer);
    read_barrier();
    if (!turned(view)) return 0;
    if (view->reason) break;
  }
  if (view->reason) answer->reason = view->reason;
  return 0;
}

#endif
